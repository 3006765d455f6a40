"""Counts added up, as of the parts in which an engine brings them."""

import pyarrow as pa


def sum_counts(counted: pa.Table, *by: str) -> pa.Table:
    """Adds up the counts of rows that are equal in some columns, which come first: all columns but these."""
    names = [name for name in counted.column_names if name not in by]
    grouped = counted.group_by([*by], use_threads=False).aggregate([(name, "sum") for name in names])
    return grouped.rename_columns([*by, *names])
