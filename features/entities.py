"""Entities, queries and items with their raw features: from the rows of a table to what the TFT graph takes."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.example_codec import encode_half
from features.raw_features import feature_columns, raw_features, with_features
from features.spec import Spec
from features.spec_features import IdFeature, NumericFeature, Side, SideName
from features.spec_sources import TableSource

TRAIN_COUNT = "train_count"
FULL_TRAIN_COUNT = "full_train_count"
COUNTS = (TRAIN_COUNT, FULL_TRAIN_COUNT)


def raw_columns(source: TableSource, *sides: Side) -> pa.Schema:
    """The columns of a raw table that these sides read, as `features.json_lines` takes them."""
    columns: dict[str, pa.DataType] = {source.id: pa.string()}
    if source.title is not None:
        columns[source.title] = pa.string()
    for side in sides:
        columns.update(feature_columns(side).values())
    return pa.schema(list(columns.items()))


def entity_schema(side: Side) -> pa.Schema:
    """Columns of an entity table: id, title, the counts, and feature/NAME for each raw feature."""
    fields = [("id", pa.string()), ("title", pa.string()), *((name, pa.int64()) for name in COUNTS)]
    return with_features(pa.schema(fields), side)


def to_entities(rows: pa.RecordBatch, source: TableSource, *, side: Side) -> pa.Table:
    """Rows of a raw table as entities of a side, with counts of 0.

    Args:
        rows: As `raw_columns` has them, ids valid.
        source: The table.
        side: The side whose features are taken.

    Returns:
        Schema `entity_schema(side)`.
    """
    zeros = pa.array(np.zeros(rows.num_rows, np.int64))
    title = rows.column(source.title) if source.title is not None else pa.nulls(rows.num_rows, pa.string())
    columns = [rows.column(source.id), title, zeros, zeros, *raw_features(rows, side).values()]
    return pa.table(columns, schema=entity_schema(side))


def with_counts(entities: pa.Table, counts: pa.Table) -> pa.Table:
    """Puts the training counts of the ids that have any into an entity table.

    Args:
        entities: Schema `entity_schema`.
        counts: `id`, train_count, full_train_count, and perhaps others.
    """
    place = pc.index_in(entities.column("id"), counts.column("id").combine_chunks())
    for name in COUNTS:
        found = pc.fill_null(counts.column(name).take(place), 0)
        entities = entities.set_column(entities.schema.get_field_index(name), name, found)
    return entities


def only_ids(ids: pa.Array, side: Side) -> pa.Table:
    """Entities of which nothing but the id is known."""
    zeros = pa.array(np.zeros(len(ids), np.int64))
    schema = entity_schema(side)
    columns = [ids, pa.nulls(len(ids), pa.string()), zeros, zeros]
    return pa.table(columns + [pa.nulls(len(ids), field.type) for field in list(schema)[4:]], schema=schema)


def entities_of(ids: pa.Array, table: pa.Table, *, side: Side) -> pa.Table:
    """The entities of some ids: first those that the table has, then those known by id alone."""
    place = pc.index_in(ids, table.column("id").combine_chunks())
    known = table.take(place.drop_null())
    missing = ids.filter(pc.is_null(place))
    return pa.concat_tables([known, only_ids(missing, side)]) if len(missing) else known


# ------------------------------------------------------------------------------------------- the TFT graph's input

PASSED_THROUGH = ("entity_id", "entity_side", "entity_train_count")
"""Columns that the graph hands on as they are."""


def transform_inputs(spec: Spec) -> dict[str, pa.DataType]:
    """Inputs of the TFT graph, query/NAME and item/NAME -> type of their values.

    Each is a list per row, empty where missing; a row is a query or an item, and the other side's lists are empty.
    """
    return {
        key: pa.float32() if isinstance(feature, NumericFeature) else pa.large_binary()
        for key, feature in spec.features.items()
    }


def transform_schema(spec: Spec) -> pa.Schema:
    """Arrow schema of the graph's input, the columns that are passed through included."""
    fields = [(name, pa.large_list(kind)) for name, kind in sorted(transform_inputs(spec).items())]
    return pa.schema([*fields, ("entity_id", _BYTES), ("entity_side", _BYTES), ("entity_train_count", _INTS)])


_BYTES = pa.large_list(pa.large_binary())
_INTS = pa.large_list(pa.int64())


def to_transform_batch(entities: pa.Table, side_name: SideName, *, spec: Spec) -> pa.RecordBatch:
    """Entities of one side as a batch for the TFT graph, schema `transform_schema`."""
    schema = transform_schema(spec)
    columns = {field.name: _empty_lists(entities.num_rows, field.type) for field in schema}
    ids = entities.column("id").combine_chunks()
    counts = entities.column(TRAIN_COUNT).combine_chunks()
    columns["entity_id"] = _as_lists(ids, schema.field("entity_id").type)
    columns["entity_side"] = _as_lists(pa.repeat(side_name, entities.num_rows), _BYTES)
    columns["entity_train_count"] = _as_lists(counts, _INTS)
    for name, feature in spec.sides[side_name].features.items():
        key = f"{side_name}/{name}"
        values = ids if isinstance(feature, IdFeature) else entities.column(f"feature/{name}").combine_chunks()
        columns[key] = _as_lists(values, schema.field(key).type)
    return pa.RecordBatch.from_arrays([columns[field.name] for field in schema], schema=schema)


def _empty_lists(rows: int, kind: pa.DataType) -> pa.Array:
    offsets = pa.array(np.zeros(rows + 1, np.int64))
    return pa.LargeListArray.from_arrays(offsets, pa.nulls(0, kind.value_type))


def _as_lists(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Single values as lists of one or none; lists as they are, null as none."""
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        counts = pc.fill_null(pc.list_value_length(values), 0).to_numpy()
        flat = pc.list_flatten(values)
    else:
        counts = values.is_valid().to_numpy(zero_copy_only=False).astype(np.int64)
        flat = values.drop_null()
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return pa.LargeListArray.from_arrays(pa.array(offsets), flat.cast(kind.value_type))


def encode_rows(table: pa.Table) -> pa.Array:
    """One text of bytes per row of entities or pairs, equal for equal rows: what their digest is taken of.

    Args:
        table: Of n rows; columns of string, int64 or float64, or lists of string.

    Returns:
        large_binary [n].
    """
    columns = {}
    for field in table.schema:
        values = table.column(field.name).combine_chunks()
        if pa.types.is_floating(field.type):
            bits = values.fill_null(0).to_numpy().view(np.int64)
            values = pc.if_else(values.is_valid(), pa.array(bits), pa.scalar(None, pa.int64()))
        columns[field.name] = _as_lists(values, _INTS if pa.types.is_int64(values.type) else _BYTES)
    return encode_half(columns)
