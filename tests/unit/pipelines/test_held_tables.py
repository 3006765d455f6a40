"""Tables that a local job holds and shuffles by name."""

import json
from collections.abc import Iterable
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
import zstandard
from apache_beam.options.pipeline_options import PipelineOptions

from features.statistics.counts import FEATURE_COUNTS, keep_most_common
from features.vocabularies import TERMS, Vocabulary, keep_terms
from pipelines.aggregation.held_tables import holding_tables
from pipelines.aggregation.packing import Keyed, Packed, pack, unpack
from pipelines.beam.runner import run_pipeline

EIGHT_BYTES = pa.table({"n": pa.array([7], pa.int64())})


def test_a_table_is_held_while_there_is_room() -> None:
    with holding_tables(16):
        held = [pack(EIGHT_BYTES) for _ in range(2)]
        packed = pack(EIGHT_BYTES)

        assert [unpack(name) is EIGHT_BYTES for name in (*held, packed)] == [True, True, False]
        assert len(set(held)) == 2
        assert unpack(packed).to_pydict() == {"n": [7]}


def test_nothing_is_held_outside_a_job() -> None:
    with holding_tables(1 << 20):
        held = pack(EIGHT_BYTES)
    packed = pack(EIGHT_BYTES)

    assert unpack(packed) is not EIGHT_BYTES
    assert unpack(packed).to_pydict() == {"n": [7]}
    with pytest.raises(zstandard.ZstdError):
        unpack(held)


def test_a_table_packed_before_the_job_is_read_in_it() -> None:
    packed = pack(EIGHT_BYTES)
    with holding_tables(1 << 20):
        assert unpack(packed).to_pydict() == {"n": [7]}


def test_the_few_of_many_terms_that_are_kept_own_no_more_than_is_counted() -> None:
    many = 20_000
    texts, names, ones = [f"term {n:05}" for n in range(many)], ["f"] * many, [1] * many
    terms = pa.table([names, texts, ones], schema=TERMS)
    counts = pa.table([names, ["text"] * many, texts, [None] * many, ones], schema=FEATURE_COUNTS)
    known = {"f": frozenset({"term 19999"})}
    for kept in (keep_terms(terms, Vocabulary([], 1, 100)), keep_most_common(counts, known, most=100)):
        assert kept.num_rows in (100, 101)
        assert kept.get_total_buffer_size() < 1.1 * kept.nbytes


class _Size(beam.DoFn):
    """(a number, the packed tables under it) -> how large they are, in the shuffle and unpacked; to a file of its own.

    Steps of another process can leave nothing in this one.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def process(self, element: tuple[int, Iterable[Packed]]) -> Iterable[None]:
        key, tables = element
        found = [(len(packed), unpack(packed).num_rows) for packed in tables]
        (self._directory / str(key)).write_text(json.dumps(found))
        return ()


def _thousand_rows(key: int) -> Keyed:
    return key, pack(pa.table({"text": [f"{key} {n * 2654435761 % 2**32}" for n in range(1000)]}))


@pytest.mark.parametrize(
    ("mode", "shuffles_names"), [("in_memory", True), ("multi_threading", True), ("multi_processing", False)]
)
def test_names_are_shuffled_only_within_one_process(mode: str, shuffles_names: bool, tmp_path: Path) -> None:
    options = PipelineOptions([f"--direct_running_mode={mode}", "--direct_num_workers=2"])

    def build(pipeline: beam.Pipeline) -> None:
        made = pipeline | beam.Create([0, 1]) | beam.Map(_thousand_rows).with_output_types(Keyed)
        _ = made | beam.GroupByKey() | beam.ParDo(_Size(tmp_path))

    run_pipeline(build, options, local=True)

    for key in ("0", "1"):
        [(size, rows)] = json.loads((tmp_path / key).read_text())
        assert rows == 1000
        assert (size < 20) == shuffles_names
