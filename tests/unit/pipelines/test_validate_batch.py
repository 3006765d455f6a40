"""Which lines of a log need a time, and which times are told."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from small_specs import small_spec

from features.data_window import DataWindow
from features.parsing.parsed_lines import BadLine
from features.pseudonyms import Pseudonyms
from features.spec.spec import Spec
from pipelines.aggregation.batches import Batch
from pipelines.aggregation.input_files import InputFile
from pipelines.aggregation.log import ValidLines, log_columns, validate_batch
from pipelines.aggregation.unusable_files import check_files, expected_columns
from stage.errors import StageError

TIMED = {"timestamp": "at"}
PLAIN = small_spec(log=TIMED)
BY_TIME = small_spec(log=TIMED, split={"method": "time", "validation_seconds": 1})
SESSIONS = small_spec(log=TIMED, split={"method": "query_hash"}, session={})


@pytest.mark.parametrize(
    ("spec", "window", "needs_time"),
    [
        (PLAIN, DataWindow(), False),
        (PLAIN, DataWindow(start=0), True),
        (PLAIN, DataWindow(end=9_000_000), True),
        (BY_TIME, DataWindow(), True),
        (SESSIONS, DataWindow(), True),
    ],
    ids=["plain", "from", "until", "split by time", "sessions"],
)
def test_a_line_without_a_time_is_kept_only_where_nothing_depends_on_times(spec, window, needs_time):
    found = validate(batch_of([5.0, None], spec), spec, window=window)
    assert found.lines.column("place").to_pylist() == ([0] if needs_time else [0, 1])
    assert found.rejected.column("reason").to_pylist() == ["missing_timestamp"] * needs_time


def test_lines_of_before_1990_are_counted():
    last_of_1989 = 631_151_999.0
    for times, early in (([5.0, last_of_1989, None, last_of_1989 + 1], 2), ([last_of_1989 + 1, None], None)):
        found = validate(batch_of(times, PLAIN))
        assert found.counts.get("lines/before_1990") == early


def test_a_last_line_that_is_cut_off_is_counted():
    batch = replace(batch_of([5.0], PLAIN), bad=[BadLine(0, "not_json", b"{")])  # x has one byte
    found = validate(batch)
    assert found.counts["cut_off/x"] == 1


def test_lines_in_and_outside_of_a_window_are_counted_by_file():
    for window, counted in ((DataWindow(6_000_000, None), {"inside\tx": 2, "outside\tx": 1}), (DataWindow(), {})):
        found = validate(batch_of([5.0, 6.0, 7.0, None], PLAIN), window=window)
        assert {name: n for name, n in found.counts.items() if name.startswith(("inside", "outside"))} == counted


def test_blank_lines_are_none_of_those_without_a_column():
    batch = batch_of([5.0] * 100, PLAIN)
    rows = batch.rows.set_column(batch.rows.schema.names.index("query_id"), "query_id", pa.nulls(100, pa.string()))
    found = validate(replace(batch, rows=rows, blank=2))
    expected = expected_columns(PLAIN.sources.interactions, log_columns(PLAIN).schema, hints={})
    with pytest.raises(StageError, match=r"^x: expected a column query_id .*, but none of its 100 lines has that"):
        check_files(found.counts, "log", expected=expected, directory="d")


def batch_of(times: list[float | None], spec: Spec) -> Batch:
    rows = [{"query_id": "q", "item_id": "i", "event": "e", "at": at} for at in times]
    return Batch(
        rows=pa.RecordBatch.from_pylist(rows, log_columns(spec).schema),
        places=np.arange(len(rows)),
        bad=[],
        first_place=0,
        blank=0,
        file=InputFile(path="x", name="x", size=1, number=0, format="jsonl"),
    )


def validate(batch: Batch, spec: Spec = PLAIN, *, window: DataWindow = DataWindow()) -> ValidLines:  # noqa: B008
    return validate_batch(batch, spec, window=window, pseudonyms=Pseudonyms(), bounds=None)
