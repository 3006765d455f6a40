"""Columns of any kind as lists, and rows of such as bytes."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.example_codec import encode_half
from features.flags import flags_of
from features.parsing.list_numbers import is_vector
from features.ranges import offsets

BYTES = pa.large_list(pa.large_binary())
INTS = pa.large_list(pa.int64())
FLOATS = pa.large_list(pa.float32())


def to_lists(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Single values as lists of one or none; lists as they are, null as none."""
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        counts = pc.fill_null(pc.list_value_length(values), 0).to_numpy()
        flat = pc.list_flatten(values)
    else:
        counts = flags_of(values.is_valid()).astype(np.int64)
        flat = values.drop_null()
    return pa.LargeListArray.from_arrays(pa.array(offsets(counts)), flat.cast(kind.value_type))


def encode_rows(table: pa.Table) -> pa.Array:
    """One text of bytes per row of entities or pairs, equal for equal rows: what their digest is taken of.

    Args:
        table: Of n rows; columns of string, int64 or float64, or lists of string or float32.

    Returns:
        large_binary [n].
    """
    columns = {}
    for field in table.schema:
        values = table.column(field.name).combine_chunks()
        if pa.types.is_floating(field.type):
            bits = values.fill_null(0).to_numpy().view(np.int64)
            values = pc.if_else(values.is_valid(), pa.array(bits), pa.scalar(None, pa.int64()))
        columns[field.name] = to_lists(values, _lists_of(values.type))
    return encode_half(columns)


def _lists_of(kind: pa.DataType) -> pa.DataType:
    if is_vector(kind):
        return FLOATS
    return INTS if pa.types.is_int64(kind) else BYTES
