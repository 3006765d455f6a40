"""Columns that the spec names and no line has."""

from typing import Any

import pyarrow as pa
import pytest
from small_specs import small_spec

from features.spec.spec import Spec
from pipelines.aggregation.absent_columns import check_columns, count_present
from pipelines.aggregation.counts import without_files
from pipelines.aggregation.log import log_columns
from pipelines.aggregation.tables import raw_tables
from stage.errors import StageError

FEATURES = {"price": {"kind": "numeric", "column": "prize"}, "tags": {"kind": "multivalued"}}
KEYS = {"sources.items.title": "name", "item.features.price": "prize", "item.features.tags": "tags"}


def rows(**columns):
    empty = {"name": [None, None], "prize": [None, None], "tags": [None, None]}
    return pa.RecordBatch.from_pydict(empty | columns)


def spec(log: dict[str, Any], *, title: str | None = None, **sections: Any) -> Spec:
    items = {"path": "x", "title": title}
    return small_spec(log=log, sources={"items": items}, item={"app": "id", **FEATURES}, **sections)


def test_the_columns_that_a_line_may_lack_stand_under_the_keys_that_name_them() -> None:
    of_items = {name: column for name, column in KEYS.items() if name.startswith("item.")}
    assert raw_tables(spec({}, title="name"))["items"].columns.optional == KEYS
    assert raw_tables(spec({}))["items"].columns.optional == of_items
    assert log_columns(spec({})).optional == {}
    time = {"sources.interactions.timestamp": "at"}
    assert log_columns(spec({"timestamp": "at"})).optional == time
    session = {"session": {"context": {"features": FEATURES}}, "split": {"method": "query_hash"}}
    assert log_columns(spec({"timestamp": "at"}, **session)).optional == time | {
        "session.context.features.price": "prize",
        "session.context.features.tags": "tags",
    }


def test_of_the_keys_that_name_a_column_the_first_is_told() -> None:
    found = log_columns(spec({"event": None, "timestamp": "at"}))
    assert found.keys == {
        "query_id": "sources.interactions.query_id",
        "item_id": "sources.interactions.item_id",
        "at": "sources.interactions.timestamp",
    }
    assert raw_tables(spec({}, title="item_id"))["items"].columns.keys["item_id"] == "sources.items.id"


def test_one_value_in_all_batches_is_enough_and_an_empty_list_is_one():
    first = count_present(rows(name=["a", None], tags=[[], None]), "items", columns=KEYS)
    second = count_present(rows(prize=[None, 0.0]), "items", columns=KEYS)
    assert list(first.values()) == [1, 0, 1]
    check_columns({name: first[name] + second[name] for name in first}, {})


def test_an_empty_text_or_vector_and_a_number_that_is_none_are_no_values():
    vectors = pa.array([[], [1.0, 2.0]], pa.list_(pa.float32()))
    found = count_present(
        rows(name=["", ""], prize=[float("nan"), 1e39], tags=[[""], None], at=[float("inf"), 7.0], v=vectors),
        "items",
        columns=KEYS | {"at": "at", "v": "v"},
    )
    assert list(found.values()) == [0, 0, 1, 1, 1]


def test_a_column_without_a_value_is_named_and_counts_of_columns_are_for_this_check_alone():
    counts = count_present(rows(name=["a", "b"], tags=[["x"], []]), "items", columns=KEYS) | {"lines/read": 2}
    with pytest.raises(StageError) as caught:
        check_columns(counts, {})
    lacking = "item.features.price: expected a column 'prize' in the items, but none of its lines has a value there"
    assert str(caught.value) == f"{lacking}; correct the name, or leave it out of the spec"
    with pytest.raises(StageError) as hinted:
        check_columns(counts, {"item.features.price": "; did you mean 'price'?"})
    assert str(hinted.value) == f"{lacking}; did you mean 'price'?"
    assert without_files(counts) == {"lines/read": 2}
