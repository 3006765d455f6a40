"""Columns that the spec names and no line has."""

import pyarrow as pa
import pytest

from features.spec_features import Side
from features.spec_sources import InteractionSource, TableSource
from pipelines.aggregation.absent_columns import (
    check_columns,
    count_present,
    optional_log_columns,
    optional_table_columns,
)
from pipelines.aggregation.counts import without_files
from stage.errors import StageError

SIDE = Side.model_validate(
    {
        "features": {
            "app": {"kind": "id"},
            "price": {"kind": "numeric", "column": "prize"},
            "tags": {"kind": "multivalued"},
        }
    }
)
KEYS = {"sources.items.title": "name", "item.features.price": "prize", "item.features.tags": "tags"}


def rows(**columns):
    empty = {"name": [None, None], "prize": [None, None], "tags": [None, None]}
    return pa.RecordBatch.from_pydict(empty | columns)


def test_the_columns_of_a_table_stand_under_the_keys_that_name_them():
    assert optional_table_columns("items", TableSource(path="x", title="name"), sides={"item": SIDE}) == KEYS
    assert optional_table_columns("items", TableSource(path="x"), sides={}) == {}
    assert optional_log_columns(InteractionSource(path="x"), Side()) == {}
    assert optional_log_columns(InteractionSource(path="x", timestamp="at"), Side()) == {
        "sources.interactions.timestamp": "at"
    }
    assert optional_log_columns(InteractionSource(path="x"), SIDE) == {
        "session.context.features.price": "prize",
        "session.context.features.tags": "tags",
    }


def test_one_value_in_all_batches_is_enough_and_an_empty_list_is_one():
    first = count_present(rows(name=["a", None], tags=[[], None]), "items", columns=KEYS)
    second = count_present(rows(prize=[None, 0.0]), "items", columns=KEYS)
    assert list(first.values()) == [1, 0, 1]
    check_columns({name: first[name] + second[name] for name in first})


def test_a_column_without_a_value_is_named_and_counts_of_columns_are_for_this_check_alone():
    counts = count_present(rows(name=["a", "b"], tags=[["x"], []]), "items", columns=KEYS) | {"lines/read": 2}
    with pytest.raises(StageError) as caught:
        check_columns(counts)
    assert str(caught.value) == (
        "item.features.price: expected a column 'prize' in the items, but none of its lines has a value there; "
        "correct the name, or leave it out of the spec"
    )
    assert without_files(counts) == {"lines/read": 2}
