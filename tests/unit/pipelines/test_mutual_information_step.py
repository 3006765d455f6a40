"""Mutual information as a step of the Beam job: no worker holds more of the corpus than it counts at once."""

import json
from collections import defaultdict

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that
from sklearn.metrics import mutual_info_score
from small_specs import small_spec

from features.joint_counts import count_values
from features.spec.spec import Spec
from pipelines.aggregation import mutual_information
from pipelines.aggregation.mutual_information import (
    CountBlocks,
    blocks_of,
    encode_information,
    histogram_of,
    key_by_block,
)
from pipelines.aggregation.packing import Keyed, pack
from pipelines.beam.mutual_information import compute_mutual_information

SPEC = small_spec(item={"colour": "categorical", "shape": "categorical"})
NATS = 0.6931471805599453  # of two colours, as common, that go with two shapes: ln 2


@pytest.mark.parametrize(("pairs_together", "held"), [(1, False), (1 << 25, True)])
def test_blocks_are_counted_as_soon_as_they_are_many(
    monkeypatch: pytest.MonkeyPatch, pairs_together: int, held: bool
) -> None:
    numbers = []

    def counted(blocks, *arguments, **keywords):
        numbers.append(len(blocks))
        return count_values(blocks, *arguments, **keywords)

    monkeypatch.setattr(mutual_information, "PAIRS_TOGETHER", pairs_together)
    monkeypatch.setattr(mutual_information, "count_values", counted)
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
        assert_that(keyed | compute_mutual_information(SPEC, shards=2), is_right)
    assert sum(numbers) == 6  # of 16 items, or a few more, on average
    assert (max(numbers) > 1) is held


def information_of(items: pa.Table, spec: Spec) -> bytes:
    count = CountBlocks(spec, shards=1)
    found = defaultdict(list)
    for block, packed in key_by_block((0, pack(items)), spec, corpus=items.num_rows):
        assert [*count.add((block, [packed]), bounds={})] == []
    for kind, (_, packed) in count.end():
        found[kind].append(packed)
    histograms = [packed for _, packed in histogram_of((0, found["value_counts"]))]
    return encode_information(histograms + found["histograms"], spec)


@pytest.mark.parametrize("count", [20, 100])
def test_chance_is_what_permutations_of_all_items_give_however_few_there_are(count: int) -> None:
    values = [f"v{number % 5}" for number in range(count)]
    items = pa.table({"id": [f"i{n}" for n in range(count)], "feature/colour": values, "feature/shape": values})
    told = json.loads(information_of(items, SPEC))
    draws = np.random.default_rng(0)
    permuted = [mutual_info_score(values, draws.permutation(values)) for _ in range(40)]
    assert told["mutual_information"][0][1] == pytest.approx(np.log(5), abs=1e-12)
    assert abs(told["chance"][0][1] - np.mean(permuted)) < 3 * np.std(permuted)


def test_a_corpus_has_no_more_blocks_than_64_and_one_at_least() -> None:
    assert [blocks_of(items) for items in (0, 31, 32, 1_023, 1_024, 10**9)] == [1, 1, 2, 63, 64, 64]


def test_chance_is_drawn_by_the_spec_s_seed() -> None:
    colours = [f"colour {number % 7}" for number in range(200)]
    shapes = [f"shape {number % 5}" for number in range(200)]
    items = pa.table({"id": [f"i{n}" for n in range(200)], "feature/colour": colours, "feature/shape": shapes})
    found = []
    for seed in (0, 1):
        section = SPEC.mutual_information.model_copy(update={"seed": seed, "numeric_buckets": 5})
        spec = SPEC.model_copy(update={"mutual_information": section})
        found.append(json.loads(information_of(items, spec)))
    one, other = found
    assert one["mutual_information"] == other["mutual_information"]
    assert one["chance"] != other["chance"]
    assert [(said["seed"], said["numeric_buckets"]) for said in found] == [(0, 5), (1, 5)]
