"""Single lines of JSON, which stand out in their block: what each is, found as cheaply as can be.

What counts is pyarrow's verdict on the line alone, which costs it some 80 us. So orjson looks first, then the json
module, and pyarrow only where they can't know: lines that are no JSON by the book, but that pyarrow reads.
"""

import json
from collections.abc import Callable
from typing import Any

import orjson
import pyarrow as pa

from features.parsing.json_reading import read_alone, try_read
from features.parsing.list_numbers import are_numbers, is_vector
from features.parsing.list_texts import as_texts
from features.parsing.parsed_lines import WRONG_TYPE, wrong_type
from features.parsing.truth_values import takes_truth_values, truth_as_text
from features.parsing.utf8 import is_utf8

_Taking = dict[str, Callable[[Any], Any]]
"""Column -> what it has of a value: itself, or text of it; None if it takes none of this type."""
_Line = tuple[int, bytes]
"""Number and content."""
_GOOD = ""
_DOUBTFUL = "?"
_PAIRS = json.JSONDecoder(object_pairs_hook=list, parse_int=str, parse_float=str)
"""Objects as lists of their entries, in which a key that stands twice is seen; numbers of any length."""


def screen_lines(
    lines: list[_Line], columns: pa.Schema
) -> tuple[list[tuple[list[int], pa.RecordBatch]], dict[int, str]]:
    """Reads each line by itself.

    Args:
        lines: Number and content, without white space around it and not empty.
        columns: As `features.parsing.json_lines.parse_lines` takes them.

    Returns:
        Rows with the numbers of their lines, and the lines without a row: number -> not_json, `wrong_type` or
        invalid_utf8. Texts of rows may hold what is no UTF-8.
    """
    taking = {field.name: _taking(field) for field in columns}
    together: list[_Line] = []
    alone: list[tuple[int, pa.RecordBatch | str]] = []
    for number, content in lines:
        line, verdict = _screen(content, taking)
        if verdict == _GOOD:
            together.append((number, line))
        else:
            alone.append((number, _judge_alone(content, columns) if verdict == _DOUBTFUL else verdict))
    parts: list[tuple[list[int], pa.RecordBatch]] = []
    rows = try_read(pa.py_buffer(b"\n".join(line for _, line in together)), columns, expected=len(together))
    if rows is not None:
        parts.append(([number for number, _ in together], rows))
    else:
        # Not known to happen: orjson reads what pyarrow refuses.
        alone += [(number, read_alone(line, columns)) for number, line in together]
    parts += [([number], found) for number, found in alone if not isinstance(found, str)]
    return parts, {number: found for number, found in alone if isinstance(found, str)}


def _screen(content: bytes, taking: _Taking) -> tuple[bytes, str]:
    """The line, with values of text columns made text, and why it gives no row, or that it does, or is doubtful."""
    if content[0] != ord("{") or content[-1] != ord("}"):
        return content, "not_json"
    try:
        return _judge(orjson.loads(content), content, taking=taking)
    except orjson.JSONDecodeError:
        if content.isascii():
            return content, _DOUBTFUL
    replaced = content.decode("utf-8", "replace").encode()
    try:
        # Perhaps all that is wrong is that a text is no UTF-8.
        line, verdict = _judge(orjson.loads(replaced), replaced, taking=taking)
    except orjson.JSONDecodeError:
        return content, _DOUBTFUL
    return content, _GOOD if verdict == _GOOD and line is replaced else _DOUBTFUL


def _judge(value: dict[str, Any], content: bytes, *, taking: _Taking) -> tuple[bytes, str]:
    texts: dict[str, Any] = {}
    for name, take in taking.items():
        found = value.get(name)
        if found is None:
            continue
        taken = take(found)
        if taken is None:
            return content, wrong_type(name)
        if taken is not found:
            texts[name] = taken
    # Of a column that stands twice orjson shows the last; it is an error to pyarrow.
    if b"\\" in content or any(content.count(b'"%b"' % name.encode()) > 1 for name in taking):
        verdict = _repeats(content, taking)
        if verdict != _GOOD:
            return content, verdict
    if not texts:
        return content, _GOOD
    return orjson.dumps({name: value[name] for name in taking if name in value} | texts), _GOOD


def _taking(field: pa.Field) -> Callable[[Any], Any]:
    if is_vector(field.type):
        return lambda value: value if type(value) is list and are_numbers(value) else None
    if pa.types.is_list(field.type):
        return lambda value: as_texts(value) if type(value) is list else None
    if pa.types.is_floating(field.type):
        return lambda value: value if type(value) in (int, float) else None
    return _as_text_or_truth if takes_truth_values(field) else _as_text


def _as_text(value: Any) -> str | None:
    if type(value) is str:
        return value
    return str(value) if type(value) is int else None


def _as_text_or_truth(value: Any) -> str | None:
    return truth_as_text(value) if type(value) is bool else _as_text(value)


def _repeats(content: bytes, taking: _Taking) -> str:
    """The verdict on a line in which a column may stand twice, or only in an object within, or in a text."""
    try:
        keys = [name for name, _ in _PAIRS.decode(content.decode()) if name in taking]
    except RecursionError:
        return _DOUBTFUL
    return "not_json" if len(set(keys)) < len(keys) else _GOOD


def _judge_alone(content: bytes, columns: pa.Schema) -> pa.RecordBatch | str:
    is_json = _is_json(content)
    # Of what the json module refuses, pyarrow reads this alone; and it may stumble over what is no UTF-8 before.
    if not is_json and b"Inf" not in content and is_utf8(content):
        return "not_json"
    found = read_alone(content, columns)
    wrongly_typed = isinstance(found, str) and found.startswith(WRONG_TYPE)
    return "not_json" if wrongly_typed and not is_json else found


def _is_json(line: bytes) -> bool:
    """Whether a line is JSON to its end; pyarrow may have read no further than to a wrong type."""
    try:
        _PAIRS.decode(line.decode("utf-8", "surrogateescape"))
    except RecursionError:
        return True
    except ValueError:
        return False
    return True
