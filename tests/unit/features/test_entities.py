"""Entities: from the rows of a table to what the TFT graph takes."""

import math

import numpy as np
import pyarrow as pa
from small_specs import small_spec

from features.entities import (
    entities_of,
    entity_schema,
    only_ids,
    table_columns,
    to_entities,
    with_counts,
)
from features.raw_features import bad_vectors
from features.row_lists import encode_rows
from features.spec.features import Side
from features.spec.sources import TableSource
from features.transform_inputs import to_transform_batch, transform_inputs, transform_schema

SPEC = small_spec(
    sources={"queries": {"path": "x"}},
    query={"user": "id", "age": "numeric"},
    item={
        "page": "id",
        "color": {"kind": "categorical", "column": "colour"},
        "tags": "multivalued",
        "title": "text",
        "size": "numeric",
    },
)
SIDE = SPEC.item
SOURCE = TableSource(path="x", id="item_id", title="title")
ROWS = [
    {"item_id": "p", "title": "The P", "colour": "red", "tags": ["x", None, "", "y\nz"], "size": 2.5},
    {"item_id": "q", "title": None, "colour": "", "tags": None, "size": float("nan")},
    {"item_id": "r", "title": "", "colour": "a\x00\x01b", "tags": [], "size": float("-inf")},
    {"item_id": "s", "title": "\t", "colour": None, "tags": ["", None], "size": 1e39},
    {"item_id": "t", "title": "é", "colour": "é", "tags": ["x", "x"], "size": -3e38},
]


def entities(rows=ROWS):
    return to_entities(pa.RecordBatch.from_pylist(rows, schema=table_columns(SOURCE, SIDE)), SOURCE, side=SIDE)


def test_a_table_is_read_for_its_id_its_title_and_the_features_columns():
    assert table_columns(SOURCE, SIDE) == pa.schema(
        [
            ("item_id", pa.string()),
            ("title", pa.string()),
            ("colour", pa.string()),
            ("tags", pa.list_(pa.string())),
            ("size", pa.float64()),
        ]
    )


def test_what_is_no_value_counts_as_missing():
    found = entities()
    assert found.schema == entity_schema(SIDE)
    assert found.column("id").to_pylist() == ["p", "q", "r", "s", "t"]
    assert found.column("title").to_pylist() == ["The P", None, "", "\t", "é"]
    assert found.column("feature/color").to_pylist() == ["red", None, "a b", None, "é"]
    assert found.column("feature/tags").to_pylist() == [["x", "y z"], [], [], [], ["x", "x"]]
    assert found.column("feature/title").to_pylist() == ["The P", None, None, " ", "é"]
    # 1e39 is no float32, which is what the graph takes: one such item would spoil the mean of all.
    assert found.column("feature/size").to_pylist() == [2.5, None, None, None, -3e38]
    assert found.column("train_count").to_pylist() == [0] * 5


def test_minus_zero_is_zero():
    sizes = entities([{**ROWS[0], "size": -0.0}, {**ROWS[0], "item_id": "q", "size": 0.0}]).column("feature/size")
    assert [math.copysign(1, size) for size in sizes.to_pylist()] == [1, 1]


VECTORS = Side.model_validate(
    {
        "features": {
            "look": {"kind": "vector", "size": 2},
            "sound": {"kind": "vector", "size": 2, "column": "wave"},
            "words": {"kind": "vector", "size": 3, "column": "text"},
        }
    }
)


def _with_vectors(rows):
    source = TableSource(path="x", id="item_id")
    named = [{"item_id": f"{n}"} | row for n, row in enumerate(rows)]
    return pa.RecordBatch.from_pylist(named, schema=table_columns(source, VECTORS)), source


def test_a_vector_has_its_size_and_numbers_alone():
    good = [{"look": [1, 2]}, {"look": []}, {"look": None}, {"look": [3e38, -0.0], "wave": [0, 0], "text": [1, 2, 3]}]
    bad = [{"look": [1]}, {"look": [1, 2, 3]}, {"look": [1, None]}, {"look": [None, None]}, {"look": [1, math.nan]}]
    bad += [{"look": [1, math.inf]}, {"look": [1e39, 0]}, {"look": [], "wave": [1], "text": [1, 2, 3]}]
    rows, _ = _with_vectors([*good, *bad])
    found = {column: np.flatnonzero(bad).tolist() for column, bad in bad_vectors(rows, VECTORS).items()}
    assert found == {"look": [4, 5, 6, 7, 8, 9, 10], "wave": [11], "text": []}
    of_slice = bad_vectors(rows.slice(3, 3), VECTORS)
    assert of_slice["look"].tolist() == [False, True, True]
    assert bad_vectors(rows.slice(0, 0), VECTORS)["look"].tolist() == []


def test_an_empty_vector_is_missing_and_minus_zero_in_it_is_zero():
    rows, source = _with_vectors([{"look": [1.5, -0.0]}, {"look": []}, {"look": None}, {"look": [0.1, 2]}])
    for batch, kept in ((rows, slice(0, 4)), (rows.slice(1, 3), slice(1, 4))):
        found = to_entities(batch, source, side=VECTORS)
        assert found.schema == entity_schema(VECTORS)
        assert found.column("feature/look").to_pylist() == [[1.5, 0.0], None, None, [np.float32(0.1), 2.0]][kept]
    looks = to_entities(rows, source, side=VECTORS).column("feature/look")
    assert math.copysign(1, looks[0].as_py()[1]) == 1


def test_entities_of_other_vectors_have_other_bytes():
    rows = [{"look": look} for look in ([1, 2], [2, 1], [1, np.nextafter(np.float32(2), np.float32(3))], None)]
    rows += [{"wave": [1, 2]}]
    batch, source = _with_vectors([row | {"item_id": "same"} for row in rows])
    assert len(set(encode_rows(to_entities(batch, source, side=VECTORS)).to_pylist())) == 5
    twice, source = _with_vectors([rows[0] | {"item_id": "same"}] * 2)
    assert len(set(encode_rows(to_entities(twice, source, side=VECTORS)).to_pylist())) == 1


def test_a_slice_gives_its_own_entities():
    rows = pa.RecordBatch.from_pylist(ROWS, schema=table_columns(SOURCE, SIDE))
    for start, count in ((2, 3), (1, 3)):  # the last one of which has no tags
        found = to_entities(rows.slice(start, count), SOURCE, side=SIDE)
        assert found.equals(entities().slice(start, count))
    assert to_entities(rows.slice(0, 0), SOURCE, side=SIDE).num_rows == 0


def test_counts_reach_their_entities_and_the_others_keep_none():
    counts = pa.table({"id": ["t", "p", "unknown"], "train_count": [7, 1, 9], "full_train_count": [8, 2, 9]})
    found = with_counts(entities(), counts)
    assert found.column("train_count").to_pylist() == [1, 0, 0, 0, 7]
    assert found.column("full_train_count").to_pylist() == [2, 0, 0, 0, 8]
    assert found.schema == entity_schema(SIDE)
    assert with_counts(entities(), counts.slice(0, 0)).column("train_count").to_pylist() == [0] * 5


def test_entities_of_ids_come_from_the_table_or_are_known_by_id_alone():
    found = entities_of(pa.array(["z", "t", "p", "y"]), entities(), side=SIDE)
    assert found.column("id").to_pylist() == ["t", "p", "z", "y"]
    assert found.column("feature/color").to_pylist() == ["é", "red", None, None]
    assert found.column("title").to_pylist() == ["é", "The P", None, None]
    assert [found.column(f"{full}train_count").to_pylist() for full in ("", "full_")] == [[0] * 4] * 2
    assert found.schema == entity_schema(SIDE)
    nothing = entities_of(pa.array(["z"]), only_ids(pa.array([], pa.string()), SIDE), side=SIDE)
    assert nothing.column("id").to_pylist() == ["z"]


def test_the_graphs_inputs_are_the_features_of_both_sides():
    assert transform_inputs(SPEC) == {
        "query/user": pa.large_binary(),
        "query/age": pa.float32(),
        "item/page": pa.large_binary(),
        "item/color": pa.large_binary(),
        "item/tags": pa.large_binary(),
        "item/title": pa.large_binary(),
        "item/size": pa.float32(),
    }


def test_a_batch_for_the_graph_holds_one_side_and_empty_lists_for_the_other():
    counts = pa.table({"id": ["p"], "train_count": [3], "full_train_count": [4]})
    batch = to_transform_batch(with_counts(entities(), counts), "item", spec=SPEC)
    assert batch.schema == transform_schema(SPEC)
    found = {name: batch.column(name).to_pylist() for name in batch.schema.names}
    assert found == {
        "item/color": [[b"red"], [], [b"a b"], [], ["é".encode()]],
        "item/page": [[b"p"], [b"q"], [b"r"], [b"s"], [b"t"]],
        "item/size": [[2.5], [], [], [], [float(np.float32(-3e38))]],
        "item/tags": [[b"x", b"y z"], [], [], [], [b"x", b"x"]],
        "item/title": [[b"The P"], [], [], [b" "], ["é".encode()]],
        "query/age": [[]] * 5,
        "query/user": [[]] * 5,
        "entity_id": [[b"p"], [b"q"], [b"r"], [b"s"], [b"t"]],
        "entity_side": [[b"item"]] * 5,
        "entity_train_count": [[3], [0], [0], [0], [0]],
    }
    assert to_transform_batch(entities().slice(0, 0), "item", spec=SPEC).num_rows == 0


def test_an_entity_known_by_id_alone_has_no_other_input():
    batch = to_transform_batch(only_ids(pa.array(["u"]), SPEC.query), "query", spec=SPEC)
    assert batch.column("query/user").to_pylist() == [[b"u"]]
    assert batch.column("query/age").to_pylist() == [[]]
    assert batch.column("item/page").to_pylist() == [[]]


def test_equal_entities_have_equal_bytes_and_others_do_not():
    encoded = encode_rows(entities()).to_pylist()
    assert encode_rows(entities(ROWS[::-1])).to_pylist() == encoded[::-1]
    assert len(set(encoded)) == 5
    changed = [*({"size": size} for size in (2.5000000000000004, None, 0.0)), {"tags": ["x"]}]
    assert len({*encode_rows(entities([ROWS[0] | one for one in changed])).to_pylist(), encoded[0]}) == 5
    counted = with_counts(entities(), pa.table({"id": ["p"], "train_count": [1], "full_train_count": [1]}))
    assert encode_rows(counted).to_pylist()[0] != encoded[0]


def test_whole_numbers_beyond_2_to_the_53_are_rounded_as_json_lines_round_them():
    rows = pa.RecordBatch.from_pydict({"item_id": ["a", "b"], "size": pa.array([2**53 + 1, None], pa.int64())})
    side = Side.model_validate({"features": {"size": {"kind": "numeric"}}})
    entities = to_entities(rows, TableSource(path="x", id="item_id"), side=side)
    assert entities.column("feature/size").to_pylist() == [2.0**53, None]
