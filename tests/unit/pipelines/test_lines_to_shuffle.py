"""Equal lines are put together before the shuffle, as long as there are many."""

import pyarrow as pa

from features.interactions import LINES
from features.spec import Spec
from pipelines.aggregation.log import LinesToShuffle
from pipelines.aggregation.packing import unpack

ITEM = {"features": {"item": {"kind": "id"}}}
SOURCES = {"interactions": {"path": "x"}, "items": {"path": "x"}, "queries": "items"}
SPEC = Spec.model_validate({"name": "s", "sources": SOURCES, "query": ITEM, "item": ITEM})


def lines(*items):
    rows = [{"query_id": "q", "item_id": item, "event": "e", "place": place} for place, item in enumerate(items)]
    return pa.Table.from_pylist(rows, LINES)


def shuffled(shuffle, *items):
    found = [*shuffle.add(lines(*items)), *shuffle.flush()]
    rows = [row for _, packed in found for row in unpack(packed).to_pylist()]
    return sorted((row["item_id"], row["place"], row["lines"]) for row in rows)


def test_equal_lines_are_one_row_that_says_how_many_and_where_the_first_is():
    shuffle = LinesToShuffle(SPEC, 1)
    assert shuffled(shuffle, "b", "a", "b", "b") == [("a", 1, 1), ("b", 0, 3)]
    assert shuffled(shuffle, "a", "a") == [("a", 0, 2)]


def test_where_hardly_any_are_equal_they_go_on_as_they_are():
    shuffle = LinesToShuffle(SPEC, 1)
    assert shuffled(shuffle, "a", "b") == [("a", 0, 1), ("b", 1, 1)]
    assert shuffled(shuffle, "a", "a") == [("a", 0, 1), ("a", 1, 1)]
