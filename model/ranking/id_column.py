"""A column of ids in a Parquet file that somebody made: of candidates, or of queries."""

import pyarrow as pa

from stage.errors import StageError
from stage.parquet import read_column


def read_ids(path: str, name: str) -> pa.ChunkedArray:
    """Reads the ids of a file as strings; null is one that is missing.

    Args:
        path: Parquet, local or on gs://.
        name: The column: texts, bytes that are texts, or integers.

    Raises:
        StageError: As `read_column`, or if it holds anything else.
    """
    column = read_column(path, name)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    of_ids = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_integer,
        pa.types.is_null,
    )
    if not any(is_one(kind) for is_one in of_ids):
        raise StageError(f"{path}: {name}: expected texts or integers, got {column.type}")
    return column.cast(kind).cast(pa.string())
