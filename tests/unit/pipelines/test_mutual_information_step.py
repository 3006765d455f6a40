"""Mutual information as a step of the Beam job: no worker holds more of the corpus than it counts at once."""

import json

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

from features.spec import Spec
from pipelines.aggregation.mutual_information import count_blocks
from pipelines.aggregation.packing import Keyed, pack
from pipelines.beam import mutual_information
from pipelines.beam.mutual_information import ComputeMutualInformation

SIDE = {"features": {"colour": {"kind": "categorical"}, "shape": {"kind": "categorical"}}}
SOURCES = {"interactions": {"path": "unused"}, "items": {"path": "unused"}, "queries": "items"}
SPEC = Spec.model_validate({"name": "shop", "sources": SOURCES, "query": SIDE, "item": SIDE})
NATS = 0.6931471805599453  # of two colours, as common, that go with two shapes: ln 2


@pytest.mark.parametrize(("pairs_together", "held"), [(1, False), (1 << 25, True)])
def test_blocks_are_counted_as_soon_as_they_are_many(
    monkeypatch: pytest.MonkeyPatch, pairs_together: int, held: bool
) -> None:
    numbers = []

    def counted(blocks, *arguments, **keywords):
        numbers.append(len(blocks))
        return count_blocks(blocks, *arguments, **keywords)

    monkeypatch.setattr(mutual_information, "PAIRS_TOGETHER", pairs_together)
    monkeypatch.setattr(mutual_information, "count_blocks", counted)
    items = pa.table(
        {
            "id": [f"i{number}" for number in range(100)],
            "feature/colour": ["red", "blue"] * 50,
            "feature/shape": ["round", "square"] * 50,
        }
    )

    def is_right(found: list[bytes]) -> None:
        (told,) = found
        assert json.loads(told)["mutual_information"][0][1] == pytest.approx(NATS, abs=1e-12)

    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        keyed = pipeline | beam.Create([(0, pack(items))]).with_output_types(Keyed)
        assert_that(keyed | ComputeMutualInformation(SPEC, 2), is_right)
    assert sum(numbers) > 40
    assert (max(numbers) > 1) is held
