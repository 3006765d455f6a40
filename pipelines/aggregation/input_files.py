"""The files of a source, found before the job starts, and what of them can be read side by side."""

import os
import posixpath
from dataclasses import dataclass, field
from typing import Literal

from features.parsing.csv_lines import Dialect
from features.spec.sources import COMPRESSIONS, FORMATS, Format, Source, endings
from pipelines.aggregation.raw_directory import below_raw, is_absolute
from stage import globs
from stage.errors import StageError, did_you_mean

RANGE_BYTES = 64 << 20
"""An uncompressed file of lines is read in ranges of so many bytes, each by another worker."""


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """A file to read, or what BigQuery is to give."""

    path: str
    name: str
    """Path below the raw directory, as rejects/ names it."""
    size: int
    """Bytes, compressed; 0 of BigQuery, which doesn't say."""
    number: int
    """In the whole build, as places have it."""
    format: Format | Literal["bigquery"]
    dialect: Dialect = field(default_factory=Dialect)
    """Of CSV."""
    query: str | None = None
    """Of BigQuery, where it isn't a table."""

    @property
    def compression(self) -> str | None:
        """gzip, zstd, bz2, or none: then it needn't be read from its start."""
        return COMPRESSIONS.get(posixpath.splitext(self.path)[1])

    @property
    def place_unit(self) -> str:
        """What a place in it counts: byte or row; nothing in BigQuery, whose rows have no order."""
        return {"jsonl": "byte", "csv": "byte", "bigquery": ""}.get(self.format, "row")


@dataclass(frozen=True)
class NamedFile:
    """A file as rejects and errors name it."""

    name: str
    unit: str
    """What a place in it counts: byte or row; empty where it has no places."""

    def describe(self, offset: int) -> str:
        """Names a place in it."""
        return f"{self.name}, {self.unit} {offset}" if self.unit else self.name


@dataclass(frozen=True)
class FileRange:
    """The lines that begin in [start, end) of a file; end None: to its end."""

    file: InputFile
    start: int
    end: int | None


def find_files(
    pattern: str,
    raw: str | None,
    *,
    source: Source,
    key: str,
    first_number: int,
    cure: str | None,
    may_be_none: bool = False,
) -> list[InputFile]:
    """The files of a source, in a fixed order.

    Args:
        pattern: Glob; relative to `raw` unless absolute or a URL.
        raw: The raw directory.
        source: How the spec has them written.
        key: The key of the pattern in the spec, for errors.
        first_number: Number of the first file.
        cure: What to do if there is none, where a nearest name wouldn't help.
        may_be_none: Whether there may be none; but then none further down than the glob goes either.

    Raises:
        StageError: If there is none, a file's format isn't known, or one that its format never leaves empty is.
        UsageError: As `below_raw`.
    """
    full = below_raw(raw, pattern, key=key)
    if not globs.is_pattern(full):
        _refuse_directory(full, pattern, key=key)
    elif "://" not in full and not full.endswith("*"):
        _refuse_directories(full, pattern, key=key)
    visible = [(path, size) for path, size in globs.match(full) if not globs.is_hidden(path, full)]
    for path in (path for path, size in visible if not size):
        _refuse_cut_off(path, source, key=key)
    found = [(path, size) for path, size in visible if size]
    if not found:
        those = (
            f"only empty ones, such as {visible[0][0]}" if visible else "none (or only names that begin with . or _)"
        )
        hint = f"; {cure}" if cure else "" if visible else _nearest_name(full)
        if _has_more_below(full):
            hint = "; there are some further down: write /** in place of /*"
        elif may_be_none:
            return []
        raise StageError(f"{key}: expected files that match {full}, found {those}{hint}")
    base = "" if is_absolute(pattern) or raw is None else raw.rstrip("/") + "/"
    files = []
    for number, (path, size) in enumerate(found, first_number):
        format_, name = _known_format(path, source, key=key), path.removeprefix(base)
        files.append(
            InputFile(path=path, name=name, size=size, number=number, format=format_, dialect=_dialect_of(path, source))
        )
    return files


def _nearest_name(path: str) -> str:
    """The file beside it that may have been meant, unless it is a glob."""
    directory, name = posixpath.split(path)
    beside = [] if globs.is_pattern(path) else _for_a_hint(posixpath.join(directory, "*"))
    return did_you_mean(name, [posixpath.basename(other) for other, size in beside if size], otherwise="")


def _has_more_below(pattern: str) -> bool:
    """Whether ** would find files where a pattern's * found none."""
    deeper = f"{pattern}*"
    found = _for_a_hint(deeper) if pattern.endswith("/*") else []
    return any(size and not globs.is_hidden(path, deeper) for path, size in found)


def _for_a_hint(pattern: str) -> list[tuple[str, int]]:
    """What a glob matches that nobody has asked for, such as names beside a misspelt one; none if it can't be told."""
    try:
        return globs.match(pattern)
    except StageError:
        return []


def _refuse_directories(full: str, pattern: str, *, key: str) -> None:
    """Fails where directories match a glob for files by their ending, whose files would be left out.

    Raises:
        StageError: Naming the first of their files.
    """
    deeper = f"{full}/**"
    inside = [path for path, size in _for_a_hint(deeper) if size and not globs.is_hidden(path, deeper)]
    taken = {path for path, _ in globs.match(full)} if inside else set()  # by a ** before the ending
    left_out = [path for path in inside if path not in taken]
    if left_out:
        raise StageError(
            f"{key}: {full} matches a directory too, that of {left_out[0]}, whose files would be left out; write "
            f"{pattern}/* where all are directories, or another glob or name for either"
        )


def _refuse_directory(path: str, pattern: str, *, key: str) -> None:
    """Fails where a path is a directory, as Spark writes a table.

    Raises:
        StageError: Saying which glob is meant, by the first of its files.
    """
    bare = path.rstrip("/")
    # On gs:// no object need stand for a directory.
    if globs.match(bare) if "://" in path else not os.path.isdir(path):
        return
    found = _for_a_hint(f"{bare}/**")
    names = sorted(name.removeprefix(f"{bare}/") for name, _ in found if not globs.is_hidden(name, f"{bare}/*"))
    if names or "://" not in path:
        first = names[0] if names else ""
        stem, ending = endings(first)
        below = "**" if "/" in first else "*"
        meant = f"{pattern.rstrip('/')}/{below}{ending}{first.removeprefix(stem)}"
        raise StageError(f"{key}: {path}: expected a file or a glob, found a directory; write {meant}")


def _refuse_cut_off(path: str, source: Source, *, key: str) -> None:
    """Fails for an empty file that can't be whole: what writes Parquet, Avro or a compression leaves no file empty.

    Raises:
        StageError: Naming the file.
    """
    is_compressed, format_ = endings(path)[0] != path, source.format_of(path)
    if is_compressed or format_ in ("parquet", "avro"):
        kind = "compressed" if is_compressed else str(format_).capitalize()
        raise StageError(f"{key}: {path}: expected a whole {kind} file, found 0 bytes; write it anew, or remove it")


def _known_format(path: str, source: Source, *, key: str) -> Format:
    """The format of a file.

    Raises:
        StageError: If neither the spec nor its name says it, or it can't be compressed and is.
    """
    format_ = source.format_of(path)
    if format_ is None:
        known, packed = ", ".join(FORMATS), ", ".join(COMPRESSIONS)
        raise StageError(f"{key}: {path}: expected {known}, perhaps with {packed} behind; or set its format")
    if format_ == "parquet" and endings(path)[0] != path:
        raise StageError(f"{key}: {path}: Parquet is read from its end, so it can't be compressed as a whole")
    return format_


def _dialect_of(path: str, source: Source) -> Dialect:
    return Dialect(
        delimiter=source.delimiter or ("\t" if endings(path)[1] == ".tsv" else ","),
        names=tuple(source.column_names) if source.column_names is not None else None,
        list_separator=source.list_separator,
        null_values=tuple(source.null_values),
        quoted_newlines=source.quoted_newlines,
    )


def ranges_of(files: list[InputFile]) -> list[FileRange]:
    """What can be read side by side."""
    ranges = []
    for file in files:
        # Of a quoted newline no reader that begins behind the quote could know.
        by_line = file.format == "jsonl" or (file.format == "csv" and not file.dialect.quoted_newlines)
        if by_line and file.compression is None:
            starts = range(0, file.size, RANGE_BYTES)
            ranges += [FileRange(file, start, min(start + RANGE_BYTES, file.size)) for start in starts]
        else:
            ranges.append(FileRange(file, 0, None))
    return ranges
