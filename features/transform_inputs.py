"""What the graph of tensorflow-transform takes: entities of one side as lists, those of the other side empty."""

import pyarrow as pa

from features.row_lists import BYTES, INTS, to_lists
from features.spec.features import IdFeature, NumericFeature, SideName, VectorFeature
from features.spec.spec import Spec

PASSED_THROUGH = ("entity_id", "entity_side", "entity_train_count")
"""Columns that the graph hands on as they are."""


def transform_inputs(spec: Spec) -> dict[str, pa.DataType]:
    """Inputs of the graph, query/NAME, item/NAME and with a context pair/NAME -> type of their values.

    Each is a list per row, empty where missing; a row is of one of these, and the lists of the others are empty.
    """
    return {
        key: pa.float32() if isinstance(feature, NumericFeature | VectorFeature) else pa.large_binary()
        for key, feature in spec.features.items()
    }


def transform_schema(spec: Spec) -> pa.Schema:
    """Arrow schema of the graph's input, the columns that are passed through included."""
    fields = [(name, pa.large_list(kind)) for name, kind in sorted(transform_inputs(spec).items())]
    return pa.schema([*fields, ("entity_id", BYTES), ("entity_side", BYTES), ("entity_train_count", INTS)])


def to_transform_batch(entities: pa.Table, side_name: SideName, *, spec: Spec) -> pa.RecordBatch:
    """Entities of one side as a batch for the graph, schema `transform_schema`."""
    schema = transform_schema(spec)
    nothing = {kind: to_lists(pa.nulls(entities.num_rows), kind) for kind in set(schema.types)}
    columns = {field.name: nothing[field.type] for field in schema}
    ids = entities.column("id").combine_chunks()
    counts = entities.column("train_count").combine_chunks()
    columns["entity_id"] = to_lists(ids, schema.field("entity_id").type)
    columns["entity_side"] = to_lists(pa.repeat(side_name, entities.num_rows), BYTES)
    columns["entity_train_count"] = to_lists(counts, INTS)
    for name, feature in spec.sides[side_name].features.items():
        key = f"{side_name}/{name}"
        values = ids if isinstance(feature, IdFeature) else entities.column(f"feature/{name}").combine_chunks()
        columns[key] = to_lists(values, schema.field(key).type)
    return pa.RecordBatch.from_arrays([columns[field.name] for field in schema], schema=schema)
