"""Counts added up, as of the parts in which an engine brings them."""

import pyarrow as pa
import pyarrow.compute as pc


def sum_counts(counted: pa.Table, *by: str) -> pa.Table:
    """Adds up the counts of rows that are equal in some columns, which come first: all columns but these."""
    names = [name for name in counted.column_names if name not in by]
    grouped = counted.group_by([*by], use_threads=False).aggregate([(name, "sum") for name in names])
    return grouped.rename_columns([*by, *names])


def total(counts: pa.Array | pa.ChunkedArray) -> int:
    """The sum of counts, or how many of some flags are true; 0 of none."""
    return pc.sum(counts).as_py() or 0
