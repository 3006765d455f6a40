"""Statistics as a step of the Beam job: which counts reach the step that judges them."""

from pathlib import Path

import apache_beam as beam
import pyarrow as pa
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from small_specs import small_spec

from features.statistics.schema import Expected
from pipelines.aggregation.output import Target
from pipelines.aggregation.packing import Keyed, pack
from pipelines.beam.statistics import write_statistics
from stage.output import start_output

SPEC = small_spec(item={"tags": "multivalued"}, statistics={"max_new_values": 0})


def test_texts_of_the_domain_are_counted_beyond_the_thousand_most_common(tmp_path: Path) -> None:
    """Else the two that are left out would be taken for new ones, which fail the build."""
    tags = [f"tag {n}" for n in range(1_002)]
    values = " ".join(f'value: "{tag}"' for tag in tags)
    expected = Expected(f'feature {{ name: "item/tags" string_domain {{ {values} }} }}')
    items = [(0, pack(pa.table({"id": ["a"], "train_count": [1], "feature/tags": [tags]})))]
    start_output(str(tmp_path), "dataset", run_id="run", overwrite=False)
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        tables = {
            name: pipeline | name >> beam.Create(rows).with_output_types(Keyed)
            for name, rows in (("items", items), ("queries", []), ("pairs", []))
        }
        checked, target = pipeline | beam.Create([True]), Target(str(tmp_path), "run", 1)
        write_statistics(**tables, checked=checked, spec=SPEC, target=target, expected=expected)
    assert "anomaly_info" not in (tmp_path / "statistics/anomalies.pbtxt").read_text()
