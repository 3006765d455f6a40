"""Reading raw logs and tables: files found before the job starts, read in ranges, parsed in batches.

How files are found and opened is the engine's to say.
"""

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from isal import igzip

from features.json_lines import BadLine, parse_lines
from features.places import place
from stage.errors import StageError

RANGE_BYTES = 64 << 20
"""An uncompressed file of lines is read in ranges of so many bytes, each by another worker."""
BLOCK_BYTES = 4 << 20
"""Lines are parsed so many bytes at a time."""
ROWS_PER_BATCH = 65_536

Format = Literal["jsonl", "parquet"]

Match: TypeAlias = Callable[[str], list[tuple[str, int]]]
"""Glob -> (path, bytes) of each file that it matches."""

Open: TypeAlias = Callable[[str], IO[bytes]]
"""Path -> the file's bytes as they are, not decompressed; a context manager."""


@dataclass(frozen=True)
class InputFile:
    """A file to read."""

    path: str
    name: str
    """Path below the raw directory, as rejects/ names it."""
    size: int
    """Bytes, compressed."""
    number: int
    """In the whole build, as places have it."""
    format: Format

    @property
    def compressed(self) -> bool:
        """Whether it must be read from its start."""
        return self.path.endswith(".gz")


@dataclass(frozen=True)
class FileRange:
    """The lines that begin in [start, end) of a file; end None: to its end."""

    file: InputFile
    start: int
    end: int | None


@dataclass(frozen=True)
class Batch:
    """Rows of a raw file, and the lines that gave none."""

    rows: pa.RecordBatch
    places: npt.NDArray[np.int64]
    bad: list[BadLine]
    first_place: int
    """Place of byte 0 of the offsets in `bad`."""
    blank: int
    file: InputFile

    @property
    def lines(self) -> int:
        """Lines read, blank ones included."""
        return self.rows.num_rows + len(self.bad) + self.blank


def find_files(
    pattern: str, raw: str | None, *, key: str, format_: Literal["auto"] | Format, first_number: int, match: Match
) -> list[InputFile]:
    """The files of a source, in a fixed order.

    Args:
        pattern: Glob; relative to `raw` unless absolute or a URL.
        raw: The raw directory.
        key: The spec's key, for errors.
        format_: "auto", "jsonl" or "parquet".
        first_number: Number of the first file.
        match: Finds files.

    Raises:
        StageError: If there is none, or a file's format isn't known.
    """
    absolute = "://" in pattern or pattern.startswith("/")
    if not absolute and raw is None:
        raise StageError(f"{key}: '{pattern}' is relative, so --raw must say to which directory")
    full = pattern if absolute else posixpath.join(raw or "", pattern)
    found = sorted((path, size) for path, size in match(full) if size)
    if not found:
        raise StageError(f"{key}: expected files that match {full}, found none (or only empty ones)")
    base = None if absolute or raw is None else raw.rstrip("/") + "/"
    return [
        InputFile(
            path=path,
            name=path.removeprefix(base) if base else path,
            size=size,
            number=first_number + position,
            format=_format_of(path, format_, key),
        )
        for position, (path, size) in enumerate(found)
    ]


def _format_of(path: str, format_: Literal["auto"] | Format, key: str) -> Format:
    if format_ != "auto":
        return format_
    bare = path.removesuffix(".gz")
    if bare.endswith((".jsonl", ".ndjson", ".json")):
        return "jsonl"
    if bare.endswith(".parquet"):
        return "parquet"
    raise StageError(f"{key}: {path}: expected .jsonl, .ndjson, .json (also .gz) or .parquet; or set its format")


def ranges_of(files: list[InputFile]) -> list[FileRange]:
    """What can be read side by side."""
    ranges = []
    for file in files:
        if file.compressed or file.format == "parquet":
            ranges.append(FileRange(file, 0, None))
        else:
            starts = range(0, file.size, RANGE_BYTES)
            ranges += [FileRange(file, start, min(start + RANGE_BYTES, file.size)) for start in starts]
    return ranges


def read_batches(
    element: FileRange, columns: pa.Schema, *, required: list[str], time: str | None = None, open_file: Open
) -> Iterator[Batch]:
    """The rows of a file range, in batches.

    Args:
        element: What to read.
        columns: The columns to read.
        required: Those that no file may lack.
        time: The one that Parquet may hold as timestamps.
        open_file: Opens files.

    Raises:
        StageError: If a file is truncated or can't be read, or lacks a required column, naming it.
    """
    try:
        if element.file.format == "parquet":
            yield from _read_parquet(element.file, columns, required, time, open_file)
        else:
            yield from _read_lines(element, columns, open_file)
    except (EOFError, OSError, igzip.BadGzipFile, pa.ArrowInvalid) as error:
        raise StageError(f"{element.file.path}: cannot be read to its end: {error or 'truncated'}") from None


def _read_lines(element: FileRange, columns: pa.Schema, open_file: Open) -> Iterator[Batch]:
    for offset, block in read_blocks(element, open_file):
        parsed = parse_lines(block, columns)
        first = place(element.file.number, offset)
        yield Batch(parsed.rows, first + parsed.offsets, parsed.bad, first, parsed.blank, element.file)


def _read_parquet(
    file: InputFile, columns: pa.Schema, required: list[str], time: str | None, open_file: Open
) -> Iterator[Batch]:
    with open_file(file.path) as stream:
        parquet = pq.ParquetFile(stream)
        names = parquet.schema_arrow.names
        missing = [name for name in required if name not in names]
        if missing:
            raise StageError(f"{file.path}: expected a column {missing[0]}, found {', '.join(names)}")
        row = 0
        present = [name for name in columns.names if name in names]
        for batch in parquet.iter_batches(ROWS_PER_BATCH, columns=present):
            places = place(file.number, row) + np.arange(batch.num_rows, dtype=np.int64)
            yield Batch(_conform(batch, columns, time, file), places, [], place(file.number, row), 0, file)
            row += batch.num_rows


def _conform(batch: pa.RecordBatch, columns: pa.Schema, time: str | None, file: InputFile) -> pa.RecordBatch:
    """The batch with the columns and types that JSON lines would give; integers and times keep their type."""
    arrays = []
    for field in columns:
        if field.name not in batch.schema.names:
            arrays.append(pa.nulls(batch.num_rows, field.type))
            continue
        column = batch.column(field.name)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        is_time = field.name == time and pa.types.is_timestamp(column.type)
        arrays.append(column if is_time else _convert(column, field, file))
    return pa.RecordBatch.from_arrays(arrays, names=columns.names)


def _convert(column: pa.Array, field: pa.Field, file: InputFile) -> pa.Array:
    kind, wanted = column.type, field.type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if pa.types.is_string(wanted):
        fits = is_text or pa.types.is_integer(kind)
    elif pa.types.is_floating(wanted):
        if pa.types.is_integer(kind):
            return column.cast(pa.int64())
        fits = pa.types.is_floating(kind)
    else:
        fits = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not fits and not pa.types.is_null(kind):
        raise StageError(f"{file.path}: column {field.name}: expected {wanted}, found {kind}")
    return column.cast(wanted)


def read_blocks(element: FileRange, open_file: Open) -> Iterator[tuple[int, bytes]]:
    """The lines that begin in a range, in blocks of whole lines.

    Yields:
        (byte of the block's first line in the decompressed file, its bytes).
    """
    file = element.file
    with open_file(file.path) as raw:
        stream: IO[bytes] = igzip.IGzipFile(fileobj=raw, mode="rb") if file.compressed else raw
        offset = element.start
        if offset > 0:
            # The line that runs over the start belongs to the range before.
            stream.seek(offset - 1)
            offset += len(_read_line(stream)) - 1
        rest = b""
        while True:
            position = offset + len(rest)
            if element.end is not None and position >= element.end:
                if rest:
                    yield offset, rest + _read_line(stream)
                return
            block = stream.read(BLOCK_BYTES if element.end is None else min(BLOCK_BYTES, element.end - position))
            if not block:
                if rest:
                    yield offset, rest
                return
            whole = rest + block
            cut = whole.rfind(b"\n") + 1
            if cut:
                yield offset, whole[:cut]
            offset, rest = offset + cut, whole[cut:]


def _read_line(stream: IO[bytes]) -> bytes:
    parts = []
    while True:
        part = stream.readline(BLOCK_BYTES)
        parts.append(part)
        if not part or part.endswith(b"\n"):
            return b"".join(parts)
