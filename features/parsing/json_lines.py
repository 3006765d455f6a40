"""A block of JSON lines to one Arrow batch, and the lines that are none.

pyarrow reads a stream of JSON objects, not lines: blank lines vanish, an object may end on the next line, one bad
object fails the whole block, and a bare `null` at its start crashes the process. So each line is first held to begin
with `{` and end with `}`. Given that, no object can run over a line's end (`}` before a newline and `{` after it meet
only between objects), so as many objects as lines means one object per line. From a block that breaks any of this, the
lines that surely are good objects (`json_shape`) are cut out and still read together, and the few others each
by itself (`json_screen`). The verdict on a line is the same whatever stands beside it.
"""

import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.flags import flags_of
from features.parsing.json_reading import try_read
from features.parsing.json_screen import screen_lines
from features.parsing.json_shape import good_lines
from features.parsing.list_numbers import is_vector
from features.parsing.parsed_lines import BadLine, ParsedLines, filled_lines, no_rows
from features.parsing.truth_values import takes_truth_values
from features.parsing.utf8 import odd_rows

_Part = tuple[npt.NDArray[np.int64], pa.RecordBatch]
"""Numbers of lines, and their rows."""


def parse_lines(block: bytes, columns: pa.Schema) -> ParsedLines:
    """Parses whole lines of JSON objects.

    Args:
        block: Lines, each ended by a newline but perhaps the last.
        columns: The columns to take: string, float64, list<string> or list<float32>; others are ignored, missing ones
            are null. A string column also takes integers, as their decimal digits, and truth values where
            `truth_values` says so; a list of texts may be of integers.

    Returns:
        The rows, and every line that gave none.
    """
    as_bytes = np.frombuffer(block, np.uint8)
    newlines = np.flatnonzero(as_bytes == ord("\n"))
    if block and not block.endswith(b"\n"):
        newlines = np.append(newlines, len(block))
    starts, ends, blank = filled_lines(as_bytes, newlines)
    plain = (as_bytes[starts] == ord("{")) & (as_bytes[ends - 1] == ord("}"))
    rows = try_read(pa.py_buffer(block), columns, expected=len(starts)) if plain.all() else None
    reasons: dict[int, str] = {}
    if rows is not None:
        parts = [(np.arange(len(starts)), rows)]
    else:
        pattern = good_lines(_as_written(block, columns))
        good, rows = _read_good(_slices(block, starts), pattern, columns=columns)
        others = []
        for number in np.flatnonzero(~good).tolist():
            content = block[starts[number] : ends[number]].strip(b" \t\r")
            if content:
                others.append((number, content))
            else:
                blank += 1
        screened, reasons = screen_lines(others, columns)
        parts = [(np.flatnonzero(good), rows), *((np.array(numbers), found) for numbers, found in screened)]
    numbers, rows = _in_order([_only_utf8(part, reasons) for part in parts])
    bad = [
        BadLine(int(starts[number]), reason, block[starts[number] : ends[number]])
        for number, reason in sorted(reasons.items())
    ]
    return ParsedLines(rows, starts[numbers], bad, blank)


def _slices(block: bytes, starts: npt.NDArray[np.int64]) -> pa.Array:
    """The lines with what follows each, large_binary [n], not copied."""
    offsets = pa.py_buffer(np.append(starts, len(block)))
    return pa.Array.from_buffers(pa.large_binary(), len(starts), [None, offsets, pa.py_buffer(block)])


def _joined(lines: pa.Array) -> pa.Buffer:
    """The bytes of lines that stand one behind the other, as those that `filter` gives."""
    _, offsets, data = lines.buffers()
    return data.slice(0, int(np.frombuffer(offsets, np.int64)[len(lines)])) if len(lines) else pa.py_buffer(b"")


def _as_written(block: bytes, columns: pa.Schema) -> pa.Schema:
    """The columns with the types that a block's first value of each is of, likely so throughout, where text is read."""
    types = {field.name: field.type for field in columns}
    for field in columns:
        is_list = pa.types.is_list(field.type) and not is_vector(field.type)
        value = rb"\[\s*(?:null\s*,\s*)*([\"\d-])" if is_list else rb"([\"\d-]|true|false)"
        first = re.search(rb'"%b"\s*:\s*%b' % (re.escape(field.name.encode()), value), block)
        if not (is_list or pa.types.is_string(field.type)) or not first or first[1] == b'"':
            continue
        if is_list:
            types[field.name] = pa.list_(pa.int64())
            continue
        if first[1] not in (b"true", b"false"):
            types[field.name] = pa.int64()
        elif takes_truth_values(field):
            types[field.name] = pa.bool_()
    return pa.schema(types.items())


def _read_good(lines: pa.Array, pattern: str, *, columns: pa.Schema) -> tuple[npt.NDArray[np.bool_], pa.RecordBatch]:
    """Which lines surely are good, and their rows."""
    good = flags_of(pc.match_substring_regex(lines, pattern))
    rows = try_read(_joined(lines.filter(pa.array(good))), columns, expected=int(good.sum()))
    if rows is None:
        # A column that stands twice in a line is an error to pyarrow.
        for name in columns.names:
            good &= flags_of(pc.less(pc.count_substring(lines, f'"{name}"'), 2))
        rows = try_read(_joined(lines.filter(pa.array(good))), columns, expected=int(good.sum()))
    return (good, rows) if rows is not None else (np.zeros(len(lines), bool), no_rows(columns))


def _only_utf8(part: _Part, reasons: dict[int, str]) -> _Part:
    """The rows whose texts are UTF-8."""
    numbers, rows = part
    odd = odd_rows(rows)
    if odd is None:
        return part
    reasons |= dict.fromkeys(numbers[odd].tolist(), "invalid_utf8")
    return numbers[~odd], rows.filter(pa.array(~odd))


def _in_order(parts: list[_Part]) -> _Part:
    parts = [part for part in parts if len(part[0])] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    numbers = np.concatenate([numbers for numbers, _ in parts])
    order = np.argsort(numbers)
    rows = pa.Table.from_batches([rows for _, rows in parts]).combine_chunks().to_batches()[0]
    return numbers[order], rows.take(pa.array(order))
