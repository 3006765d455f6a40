"""Equal lines of a log without times are put together before the shuffle; lines with times go as they are."""

import pyarrow as pa
import pytest
from small_specs import small_spec

from features.interactions import LINES
from pipelines.aggregation.lines_to_shuffle import LinesToShuffle
from pipelines.aggregation.packing import unpack

TIMED = {"timestamp": "at"}


def lines(*items):
    rows = [{"query_id": "q", "item_id": item, "event": "e", "place": place} for place, item in enumerate(items)]
    return pa.Table.from_pylist(rows, LINES)


def shuffled(spec, *parts):
    shuffle = LinesToShuffle(spec, 1)
    ((kind, (shard, packed)),) = [element for part in parts for element in shuffle.add(part)] + [*shuffle.flush()]
    assert (kind, shard) == ("lines", 0)
    return unpack(packed).to_pylist()


def test_equal_lines_are_one_row_that_says_how_many_and_where_the_first_is():
    rows = shuffled(small_spec(), lines("b", "a", "b"), lines("c", "b"))
    assert sorted((row["item_id"], row["place"], row["lines"]) for row in rows) == [
        ("a", 1, 1),
        ("b", 0, 3),
        ("c", 0, 1),
    ]


def test_lines_wait_until_they_are_enough_for_a_table(monkeypatch):
    monkeypatch.setattr("pipelines.aggregation.lines_to_shuffle.ROWS_OF_A_TABLE", 2)
    shuffle = LinesToShuffle(small_spec(log=TIMED), 1)
    parts = (lines("a"), lines("b"), lines("c", "d", "e"))
    found = [element for part in parts for element in shuffle.add(part)] + [*shuffle.flush()]
    assert [unpack(packed).num_rows for _, (_, packed) in found] == [2, 3]


def test_lines_of_a_log_with_times_are_a_row_each():
    rows = shuffled(small_spec(log=TIMED), lines("b", "a", "b"))
    assert [(row["item_id"], row["place"], row["lines"]) for row in rows] == [("b", 0, 1), ("a", 1, 1), ("b", 2, 1)]


@pytest.mark.parametrize("drop_duplicates", [True, False])
def test_in_session_mode_too_so_that_each_line_has_its_own_context(drop_duplicates):
    context = {"features": {"device": {"kind": "categorical"}}}
    log = TIMED | {"drop_duplicates": drop_duplicates}
    spec = small_spec(log=log, split={"method": "query_hash"}, session={"context": context})
    part = lines("a", "a", "a").append_column("feature/device", pa.array(["tv", "phone", "tv"]))
    rows = shuffled(spec, part)
    assert [(row["feature/device"], row["lines"]) for row in rows] == [("tv", 1), ("phone", 1), ("tv", 1)]
