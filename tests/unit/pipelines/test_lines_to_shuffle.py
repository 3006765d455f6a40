"""Equal lines are put together before the shuffle, as long as there are many."""

import pyarrow as pa

from features.interactions import LINES
from features.spec import Spec
from pipelines.aggregation.log import LinesToShuffle
from pipelines.aggregation.packing import unpack

ITEM = {"features": {"item": {"kind": "id"}}}
SOURCES = {"interactions": {"path": "x"}, "items": {"path": "x"}, "queries": "items"}
SPEC = Spec.model_validate({"name": "s", "sources": SOURCES, "query": ITEM, "item": ITEM})
SESSIONS = {
    "name": "s",
    "sources": {"interactions": {"path": "x", "timestamp": "at"}, "items": {"path": "x"}},
    "item": ITEM,
    "split": {"method": "query_hash"},
    "session": {"context": {"features": {"device": {"kind": "categorical"}}}},
}


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


def with_devices(*devices):
    rows = [{"query_id": "q", "item_id": "a", "event": "e", "place": place} for place in range(len(devices))]
    found = pa.Table.from_pylist(rows, LINES)
    return found.append_column("feature/device", pa.array(devices, pa.string()))


def test_lines_that_differ_in_context_alone_are_one_only_if_equal_lines_are_dropped():
    for drop, expected in ((True, [("tv", 3)]), (False, [("phone", 1), ("tv", 1), ("tv", 1)])):
        log = SESSIONS["sources"]["interactions"] | {"drop_duplicates": drop}
        spec = SESSIONS | {"sources": SESSIONS["sources"] | {"interactions": log}}
        shuffle = LinesToShuffle(Spec.model_validate(spec), 1)
        found = [*shuffle.add(with_devices("tv", "phone", "tv")), *shuffle.flush()]
        rows = [row for _, packed in found for row in unpack(packed).to_pylist()]
        assert sorted((row["feature/device"], row["lines"]) for row in rows) == expected
