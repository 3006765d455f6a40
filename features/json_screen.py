"""Single lines of JSON, which stand out in their block: what each is, found as cheaply as can be.

What counts is pyarrow's verdict on the line alone, which costs it some 80 us. So orjson looks first, then the json
module, and pyarrow only where they can't know: lines that are no JSON by the book, but that pyarrow reads.
"""

import json
from typing import Any, Literal

import orjson
import pyarrow as pa

from features.json_reading import read_alone, try_read
from features.parsed_lines import WRONG_TYPE, wrong_type
from features.utf8 import is_utf8

_Kinds = dict[str, Literal["text", "number", "texts"]]
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
        columns: As `features.json_lines.parse_lines` takes them.

    Returns:
        Rows with the numbers of their lines, and the lines without a row: number -> not_json, `wrong_type` or
        invalid_utf8. Texts of rows may hold what is no UTF-8.
    """
    kinds: _Kinds = {field.name: _kind(field.type) for field in columns}
    together: list[_Line] = []
    alone: list[tuple[int, pa.RecordBatch | str]] = []
    for number, content in lines:
        line, verdict = _screen(content, kinds)
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


def _screen(content: bytes, kinds: _Kinds) -> tuple[bytes, str]:
    """The line, with integers in text columns made text, and why it gives no row, or that it does, or is doubtful."""
    if content[0] != ord("{") or content[-1] != ord("}"):
        return content, "not_json"
    try:
        return _judge(orjson.loads(content), content, kinds=kinds)
    except orjson.JSONDecodeError:
        if content.isascii():
            return content, _DOUBTFUL
    replaced = content.decode("utf-8", "replace").encode()
    try:
        # Perhaps all that is wrong is that a text is no UTF-8.
        line, verdict = _judge(orjson.loads(replaced), replaced, kinds=kinds)
    except orjson.JSONDecodeError:
        return content, _DOUBTFUL
    return content, _GOOD if verdict == _GOOD and line is replaced else _DOUBTFUL


def _judge(value: dict[str, Any], content: bytes, *, kinds: _Kinds) -> tuple[bytes, str]:
    integers = []
    for name, kind in kinds.items():
        found = value.get(name)
        if found is None:
            continue
        if not _fits(found, kind):
            return content, wrong_type(name)
        if type(found) is int and kind == "text":
            integers.append(name)
    # Of a column that stands twice orjson shows the last; it is an error to pyarrow.
    if b"\\" in content or any(content.count(b'"%b"' % name.encode()) > 1 for name in kinds):
        verdict = _repeats(content, kinds)
        if verdict != _GOOD:
            return content, verdict
    if not integers:
        return content, _GOOD
    texts = {name: str(value[name]) for name in integers}
    return orjson.dumps({name: value[name] for name in kinds if name in value} | texts), _GOOD


def _fits(value: Any, kind: str) -> bool:
    is_a = type(value)
    if kind == "text":
        return is_a is str or is_a is int
    if kind == "number":
        return is_a is int or is_a is float
    return is_a is list and all(part is None or type(part) is str for part in value)


def _kind(of: pa.DataType) -> Literal["text", "number", "texts"]:
    return "text" if pa.types.is_string(of) else "number" if pa.types.is_floating(of) else "texts"


def _repeats(content: bytes, kinds: _Kinds) -> str:
    """The verdict on a line in which a column may stand twice, or only in an object within, or in a text."""
    try:
        keys = [name for name, _ in _PAIRS.decode(content.decode()) if name in kinds]
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
