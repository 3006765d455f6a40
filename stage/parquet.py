"""Parquet, wherever it lies."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from stage import storage
from stage.errors import StageError, StorageError

_BYTES = (pa.binary(), pa.large_binary())


def read_parquet(path: str, *, columns: Sequence[str] | None = None, bytes_are_texts: bool = False) -> pa.Table:
    """Reads a file, or some of its columns.

    Args:
        path: Local or on gs://.
        columns: By name; all by default.
        bytes_are_texts: Bytes that aren't said to be text are texts too, as some writers leave these.

    Raises:
        StageError: If it isn't there or isn't Parquet, or texts aren't UTF-8.
    """
    with _resolved(path) as (system, bare):
        table = pq.read_table(bare, filesystem=system, columns=columns)
        return _as_texts(table) if bytes_are_texts else table


def read_schema(path: str) -> pa.Schema:
    """Reads which columns a file has, and of which types.

    Raises:
        StageError: As `read_parquet`.
    """
    with _resolved(path) as (system, bare):
        return pq.read_schema(bare, filesystem=system)


def read_column(path: str, name: str) -> pa.ChunkedArray:
    """Reads one column of a file; bytes are texts.

    Raises:
        StageError: As `read_parquet`, or if the file doesn't have it once.
    """
    with _resolved(path) as (system, bare), pq.ParquetFile(bare, filesystem=system) as file:
        names = file.schema_arrow.names
        if names.count(name) == 1:
            return _as_texts(file.read([name]))[name]
    raise StageError(f"{path}: expected a column {name}, got {', '.join(names) or 'none'}")


def write_parquet(path: str, table: pa.Table) -> None:
    """Writes a file that a reader sees whole or not at all.

    Raises:
        StageError: If it can't be written.
    """
    storage.write_file(path, lambda file: pq.write_table(table, pa.PythonFile(file, "w"), compression="zstd"))


def _as_texts(table: pa.Table) -> pa.Table:
    return table.cast(pa.schema([field.with_type(_text_type(field.type)) for field in table.schema]))


def _text_type(kind: pa.DataType) -> pa.DataType:
    if kind in _BYTES:
        return pa.string()
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return pa.list_(pa.string()) if is_list and kind.value_type in _BYTES else kind


def reason_of(error: Exception) -> str:
    """What Arrow complains of, and what to do about missing lists of a fixed size, which it writes but can't read."""
    cure = "; Arrow can't read missing lists of a fixed size: write lists of any size"
    return f"{error}{cure if 'Expected all lists to be of size' in str(error) else ''}"


@contextmanager
def _resolved(path: str) -> Iterator[tuple[fs.FileSystem, str]]:
    """Where a file lies; what goes wrong while it is read is a `StageError`."""
    system, bare = storage.resolve(path)
    try:
        yield system, bare
    except FileNotFoundError:  # of which Arrow may say no more than the path
        raise StorageError(f"{path}: cannot be read: No such file or directory") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise StageError(f"{path}: not readable as Parquet: {reason_of(error)}") from None
