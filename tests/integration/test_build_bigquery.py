"""A build from BigQuery: its graph as it would be submitted, and rows, made by hand, all the way to a dataset."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from published_exports import publish_export

from pipelines.aggregation.input_files import InputFile
from pipelines.beam import sources
from pipelines.beam.options import parse_beam_flags
from pipelines.build_dataset import build_graph, plan_build
from pipelines.build_options import make_parser
from stage.manifest import Manifest

BIGQUERY = (
    "--set=sources.items.path=bq://my-project.shop.pages",
    "--set=sources.interactions.path=null",
    "--set=sources.interactions.query=SELECT * FROM shop.log WHERE at >= '{data_start}'",
    "--temp_location=gs://my-bucket/temp",
)


@pytest.mark.usefixtures("small_blocks")
def test_rows_of_bigquery_give_what_json_lines_give(
    pages: Any, pages_dataset: Any, build: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read = {
        name: [json.loads(line) for line in content.splitlines()]
        for name, content in pages.files.items()
        if content != b"not read"
    }
    log = [row for name, rows in read.items() if name.startswith("log/") for row in rows]
    for row in log:
        row["at"] = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=row["at"])
    asked = []

    def export(file: InputFile) -> beam.PTransform:
        asked.append(file.query or file.path)
        return beam.Create(log if file.query else read["items/2024-01-02/items.jsonl"])

    monkeypatch.setattr(sources, "_export", export)
    again = build(tmp_path / "again", pages.spec, *pages.flags, "--shards", "2", *BIGQUERY)
    assert again.code == 0, again.error
    assert asked == [
        "SELECT * FROM shop.log WHERE at >= '2024-01-01T06:00:00+00:00'",
        "bq://my-project.shop.pages",
    ]
    assert again.content == pages_dataset.content
    # The window leaves lines of its first and last day out, whichever files they come from.
    assert again.manifest["counts"] == pages_dataset.manifest["counts"]

    done = build(tmp_path / "again", pages.spec, *pages.flags, "--shards", "2", *BIGQUERY, "--skip-done")
    told = "BigQuery wasn't asked whether it has other rows now in sources.interactions.query or bq://my-project.shop.pages"
    assert done.error == f"build-dataset: done before, in {tmp_path / 'again'}; {told}"

    dataset = Manifest.read(str(tmp_path / "again"), "dataset").content_digest
    Manifest(stage="model", run_id="1", inputs={"dataset": dataset}).write(str(tmp_path / "model"))
    publish_export(tmp_path / "published", "one", model=tmp_path / "model")
    flags = ("--overwrite", "--published", str(tmp_path / "published"))
    refused = build(tmp_path / "again", pages.spec, *pages.flags, "--shards", "2", *BIGQUERY, *flags)
    why = f"{tmp_path}/published/1's model was trained on it, so it must stay"
    later = "what has changed counts from the next dataset on"
    assert refused.error == f"error: {tmp_path}/again: {why}; {told}; {later}, or give another --output"


def test_the_graph_reads_what_beam_s_connector_exports(tmp_path: Path) -> None:
    flags = [
        # One feature a side: each more makes the graph larger.
        *("--spec", "debian", *(f"--set={side}.features={{package: {{kind: id}}}}" for side in ("query", "item"))),
        *(*BIGQUERY, "--shards=8", "--data-start=2024-01-01", "--output", str(tmp_path / "d")),
        *("--set=sources.interactions.timestamp=at", "--runner=DataflowRunner", "--dry_run=True"),
        *("--project=my-project", "--region=europe-west1", "--job_name=build", "--sdk_container_image=image:1"),
        "--staging_location=gs://my-bucket/staging",
    ]
    parser = make_parser()
    arguments, rest = parser.parse_known_args(flags)
    pipeline = beam.Pipeline(options=parse_beam_flags(rest, parser))
    build_graph(pipeline, plan_build(arguments))
    pipeline.run().wait_until_finish()
    steps = {t.unique_name: t for t in pipeline.runner.proto_pipeline.components.transforms.values()}
    for source in ("Log", "Items"):
        assert steps[f"Export{source}/Read"].spec.urn == "beam:transform:read:v1"
        (rows,) = steps[f"Export{source}"].outputs.values()
        assert rows in steps[f"Batch{source}"].inputs.values()


def test_beam_s_connector_is_asked_for_the_query_or_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beam.io, "ReadFromBigQuery", dict)
    query = sources._export(InputFile(path="k", name="k", size=0, number=0, format="bigquery", query="SELECT 1"))
    assert query == {"query": "SELECT 1", "use_standard_sql": True, "flatten_results": False}
    table = sources._export(InputFile(path="bq://example.com:p.d.t", name="t", size=0, number=0, format="bigquery"))
    assert table == {"project": "example.com:p", "dataset": "d", "table": "t"}
