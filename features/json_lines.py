"""A block of JSON lines to one Arrow batch, and the lines that are none.

pyarrow reads a stream of JSON objects, not lines: blank lines vanish, an object may end on the next line, one bad
object fails the whole block, and a bare `null` at its start crashes the process. So each line is first held to begin
with `{` and end with `}`. Given that, no object can run over a line's end (`}` before a newline and `{` after it meet
only between objects), so as many objects as lines means one object per line. A block that breaks any of this is
screened line by line with orjson, and each line that orjson doubts gets pyarrow's own verdict on it alone: the verdict
on a line is the same whatever stands beside it.
"""

import json
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.json as pj

_PAIRS = json.JSONDecoder(object_pairs_hook=list, parse_int=str, parse_float=str)
"""Objects as lists of their entries, in which a key that stands twice is seen; numbers of any length."""
_TYPE_ERROR = re.compile(r"Column\(/(.*?)\) changed from (\S+) to (\S+)")


@dataclass(frozen=True)
class BadLine:
    """A line that gives no row."""

    offset: int
    """Byte in the block where the line begins."""
    reason: str
    """not_json, wrong_type or invalid_utf8."""
    content: bytes


@dataclass(frozen=True)
class ParsedLines:
    """What a block of lines says."""

    rows: pa.RecordBatch
    """One row per good line, in order, with the columns that were asked for."""
    offsets: npt.NDArray[np.int64]
    """Byte in the block where each row's line begins."""
    bad: list[BadLine]
    blank: int
    """Lines that are empty, or white space alone."""


def parse_lines(block: bytes, columns: pa.Schema) -> ParsedLines:
    """Parses whole lines of JSON objects.

    Args:
        block: Lines, each ended by a newline but perhaps the last.
        columns: The columns to take: string, float64 or list<string>; others are ignored, missing ones are null. A
            string column also takes integers, as their decimal digits.

    Returns:
        The rows, and every line that gave none.
    """
    starts, ends, empty = _line_bounds(block)
    as_bytes = np.frombuffer(block, np.uint8)
    plain = (as_bytes[starts] == ord("{")) & (as_bytes[ends - 1] == ord("}"))
    if plain.all():
        rows = _read_fast(block, columns, len(starts)) if len(starts) else _no_rows(columns)
        if rows is not None:
            return ParsedLines(rows, starts, [], empty)
    return _parse_slowly(block, columns, starts, ends, empty)


def _line_bounds(block: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """Where each line begins and ends, its newline and the carriage return before it left out; and the empty lines."""
    as_bytes = np.frombuffer(block, np.uint8)
    newlines = np.flatnonzero(as_bytes == ord("\n"))
    if not block.endswith(b"\n") and block:
        newlines = np.append(newlines, len(block))
    starts = np.concatenate([[0], newlines[:-1] + 1]).astype(np.int64) if len(newlines) else np.zeros(0, np.int64)
    ends = newlines.astype(np.int64)
    filled = ends > starts
    starts, ends = starts[filled], ends[filled]
    returns = (as_bytes[ends - 1] == ord("\r")) & (ends - starts > 1) if len(ends) else np.zeros(0, bool)
    return starts, ends - returns, int(np.count_nonzero(~filled))


def _no_rows(columns: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in columns], schema=columns)


def _read(lines: bytes, columns: pa.Schema) -> pa.RecordBatch:
    """What pyarrow reads, with integers as text in a text column that holds nothing else.

    Raises:
        pa.ArrowInvalid: If any line is no JSON, or of other types.
        UnicodeDecodeError: If pyarrow's message would quote what is no UTF-8.
    """
    types = columns
    while True:
        try:
            return _read_as(lines, types).cast(columns)
        except pa.ArrowInvalid as error:
            found = _TYPE_ERROR.search(str(error))
            if found is None or (found[2], found[3]) != ("string", "number") or found[1] not in types.names:
                raise
            # Perhaps the ids of this log are integers throughout.
            types = types.set(types.get_field_index(found[1]), pa.field(found[1], pa.int64()))


def _read_as(lines: bytes, columns: pa.Schema) -> pa.RecordBatch:
    table = pj.read_json(
        pa.BufferReader(lines),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(lines) + 1),
        parse_options=pj.ParseOptions(explicit_schema=columns, unexpected_field_behavior="ignore"),
    )
    arrays = [table.column(field.name).combine_chunks() for field in columns]
    return pa.RecordBatch.from_arrays(arrays, schema=columns)


def _read_fast(block: bytes, columns: pa.Schema, lines: int) -> pa.RecordBatch | None:
    """The whole block at once; None if that can't be done."""
    try:
        rows = _read(block, columns)
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return None
    return rows if rows.num_rows == lines and _is_utf8(rows) else None


def _is_utf8(rows: pa.RecordBatch) -> bool:
    """Whether the texts are UTF-8: pyarrow takes any bytes for text, only full validation looks at them."""
    try:
        rows.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _parse_slowly(
    block: bytes, columns: pa.Schema, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], blank: int
) -> ParsedLines:
    kinds = [(field.name, _kind(field.type)) for field in columns]
    together: list[tuple[int, bytes]] = []
    alone: list[tuple[int, bytes]] = []
    reasons: dict[int, str] = {}
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        content = block[start:end].strip(b" \t\r")
        if not content:
            blank += 1
            continue
        line, verdict = _screen(content, kinds)
        if verdict == _GOOD:
            together.append((start, line))
        elif verdict == _DOUBTFUL:
            alone.append((start, line))
        else:
            reasons[start] = verdict
    parts = [_no_rows(columns)]
    if together:
        parts.append(_read(b"\n".join(line for _, line in together), columns))
    offsets = [start for start, _ in together]
    for start, line in alone:
        row = _read_alone(line, columns)
        if isinstance(row, str):
            reasons[start] = row
        else:
            parts.append(row)
            offsets.append(start)
    at = np.array(offsets, np.int64)
    order = np.argsort(at)
    rows = pa.Table.from_batches(parts).combine_chunks().to_batches() or [_no_rows(columns)]
    whole = dict(zip(starts.tolist(), ends.tolist(), strict=True))
    bad = [BadLine(start, reason, block[start : whole[start]]) for start, reason in sorted(reasons.items())]
    return ParsedLines(rows[0].take(pa.array(order)), at[order], bad, blank)


_GOOD = ""
_DOUBTFUL = "?"


def _screen(content: bytes, kinds: list[tuple[str, str]]) -> tuple[bytes, str]:
    """The line, with integers in text columns made text, and why it gives no row, or that it does, or is doubtful."""
    if content[0] != 123 or content[-1] != 125:  # { and }
        return content, "not_json"
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return content, _DOUBTFUL
    integers = False
    for name, kind in kinds:
        found = value.get(name)
        if found is None:
            continue
        is_a = type(found)
        if kind == "text":
            integers = integers or is_a is int
            fits = is_a is str or is_a is int
        elif kind == "number":
            fits = is_a is int or is_a is float
        else:
            fits = is_a is list and all(part is None or type(part) is str for part in found)
        if not fits:
            return content, "wrong_type"
    # Of a column that stands twice orjson shows the last; it is an error to pyarrow.
    if b"\\" in content or any(content.count(b'"%s"' % name.encode()) > 1 for name, _ in kinds):
        verdict = _repeats(content, [name for name, _ in kinds])
        if verdict != _GOOD:
            return content, verdict
    if integers:
        texts = {name for name, kind in kinds if kind == "text" and type(value.get(name)) is int}
        value = {name: str(value[name]) if name in texts else value[name] for name, _ in kinds if name in value}
        return orjson.dumps(value), _GOOD
    return content, _GOOD


def _repeats(content: bytes, names: list[str]) -> str:
    """The verdict on a line in which a column may stand twice, or only in an object within, or in a text."""
    try:
        keys = [name for name, _ in _PAIRS.decode(content.decode()) if name in names]
    except RecursionError:
        return _DOUBTFUL
    return "not_json" if len(set(keys)) < len(keys) else _GOOD


def _kind(of: pa.DataType) -> str:
    return "text" if pa.types.is_string(of) else "number" if pa.types.is_floating(of) else "texts"


def _read_alone(line: bytes, columns: pa.Schema) -> pa.RecordBatch | str:
    """The one row of a line by itself, or why pyarrow gives none."""
    try:
        rows = _read(line, columns)
    except UnicodeDecodeError:
        return "invalid_utf8"
    except pa.ArrowInvalid as error:
        return "wrong_type" if _TYPE_ERROR.search(str(error)) and _is_json(line) else "not_json"
    if rows.num_rows != 1:
        return "not_json"
    return rows if _is_utf8(rows) else "invalid_utf8"


def _is_json(line: bytes) -> bool:
    """Whether a line of which pyarrow read no further than to a wrong type is JSON to its end."""
    try:
        _PAIRS.decode(line.decode("utf-8", "surrogateescape"))
    except RecursionError:
        return True
    except ValueError:
        return False
    return True
