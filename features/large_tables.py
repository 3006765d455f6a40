"""Rows taken from tables of any size.

pyarrow's `take` first makes one chunk of each column: all of it is copied at every call, and a column with more than
2 GiB of texts is refused, since their offsets have 32 bits.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_ROWS_AT_ONCE = 1 << 16


def in_one_chunk(table: pa.Table) -> pa.Table:
    """A table to take rows from often: each column is one chunk, with texts as large_string, so of any size.

    Args:
        table: Columns of string, large_string or numbers.
    """
    return table.cast(pa.schema([_large(field) for field in table.schema])).combine_chunks()


def take_rows(table: pa.Table, rows: npt.NDArray[np.integer]) -> pa.Table:
    """Rows of a table in any order, some thousands in each chunk.

    Args:
        table: Columns of string or numbers, a row's texts not above some kilobytes.
        rows: Theirs; a row may be there more than once.
    """
    whole = in_one_chunk(table)
    parts = (rows[start : start + _ROWS_AT_ONCE] for start in range(0, len(rows), _ROWS_AT_ONCE))
    return pa.concat_tables([table.schema.empty_table(), *(whole.take(part).cast(table.schema) for part in parts)])


def _large(field: pa.Field) -> pa.Field:
    return field.with_type(pa.large_string()) if pa.types.is_string(field.type) else field
