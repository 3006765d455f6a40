"""Entities, queries and items with their raw features: from the rows of a table to those that a dataset keeps."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.raw_features import raw_features, with_feature_columns, with_features
from features.spec.features import Side
from features.spec.sources import TableSource

COUNT_COLUMNS = ("train_count", "full_train_count")


def table_columns(source: TableSource, *sides: Side) -> pa.Schema:
    """The columns of a raw table that these sides read, as readers of all formats take them."""
    columns: dict[str, pa.DataType] = {source.id: pa.string()}
    if source.title is not None:
        columns[source.title] = pa.string()
    return with_feature_columns(pa.schema(list(columns.items())), *sides)


def entity_schema(side: Side) -> pa.Schema:
    """Columns of an entity table: id, title, the counts, and feature/NAME for each raw feature."""
    fields = [("id", pa.string()), ("title", pa.string()), *((name, pa.int64()) for name in COUNT_COLUMNS)]
    return with_features(pa.schema(fields), side)


def to_entities(rows: pa.RecordBatch, source: TableSource, *, side: Side) -> pa.Table:
    """Rows of a raw table as entities of a side, with counts of 0.

    Args:
        rows: As `table_columns` has them, ids valid.
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
    for name in COUNT_COLUMNS:
        found = pc.fill_null(counts.column(name).take(place), 0)
        entities = entities.set_column(entities.schema.get_field_index(name), name, found)
    return entities


def without_counts(entities: pa.Table) -> pa.Table:
    """The entities as of a log that names none of them: with counts of 0."""
    zeros = pa.array(np.zeros(entities.num_rows, np.int64))
    for name in COUNT_COLUMNS:
        entities = entities.set_column(entities.schema.get_field_index(name), name, zeros)
    return entities


def only_ids(ids: pa.Array, side: Side) -> pa.Table:
    """Entities of which nothing but the id is known."""
    schema = entity_schema(side)
    others = [pa.nulls(len(ids), field.type) for field in list(schema)[1:]]
    return without_counts(pa.table([ids, *others], schema=schema))


def entities_of(ids: pa.Array, table: pa.Table, *, side: Side) -> pa.Table:
    """The entities of some ids: first those that the table has, then those known by id alone."""
    place = pc.index_in(ids, table.column("id").combine_chunks())
    known = table.take(place.drop_null())
    missing = ids.filter(pc.is_null(place))
    return pa.concat_tables([known, only_ids(missing, side)]) if len(missing) else known
