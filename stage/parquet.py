"""Parquet, wherever it lies."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from stage import storage
from stage.errors import StageError


def read_parquet(path: str, *, columns: Sequence[str] | None = None) -> pa.Table:
    """Reads a file, or some of its columns.

    Raises:
        StageError: If it isn't there or isn't Parquet.
    """
    system, bare = storage.resolve(path)
    try:
        return pq.read_table(bare, filesystem=system, columns=columns)
    except (OSError, pa.ArrowInvalid) as error:
        raise StageError(f"{path}: not readable as Parquet: {error}") from None


def read_schema(path: str) -> pa.Schema:
    """Reads which columns a file has, and of which types.

    Raises:
        StageError: As `read_parquet`.
    """
    system, bare = storage.resolve(path)
    try:
        return pq.read_schema(bare, filesystem=system)
    except (OSError, pa.ArrowInvalid) as error:
        raise StageError(f"{path}: not readable as Parquet: {error}") from None


def read_column(path: str, name: str) -> pa.ChunkedArray:
    """Reads one column of a file.

    Raises:
        StageError: As `read_parquet`, or if the file doesn't have it once.
    """
    system, bare = storage.resolve(path)
    try:
        with pq.ParquetFile(bare, filesystem=system) as file:
            names = file.schema_arrow.names
            if names.count(name) == 1:
                return file.read([name])[name]
    except (OSError, pa.ArrowInvalid) as error:
        raise StageError(f"{path}: not readable as Parquet: {error}") from None
    raise StageError(f"{path}: expected a column {name}, got {', '.join(names) or 'none'}")


def write_parquet(path: str, table: pa.Table) -> None:
    """Writes a file that a reader sees whole or not at all.

    Raises:
        StageError: If it can't be written.
    """
    storage.write_file(path, lambda file: pq.write_table(table, pa.PythonFile(file, "w"), compression="zstd"))
