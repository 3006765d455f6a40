"""What must become of a line: docs/data.md, by way of Python's json module, and none of our code."""

import json
import math
import re
import struct
from dataclasses import dataclass
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]
BLANK = "blank"
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Verdict:
    """What may become of a line."""

    reasons: frozenset[str] = frozenset()
    """It may be rejected for any of these; none: it must not be."""
    row: Row | None = None
    """What it says if it is kept; None: it must not be."""

    def __str__(self) -> str:
        return f"{self.row!r:.300} or {sorted(self.reasons)}" if self.reasons else f"{self.row!r:.300}"


def rejected(*reasons: str) -> Verdict:
    return Verdict(frozenset(reasons))


class _Object(list[tuple[str, Any]]):
    """The entries of a JSON object, in order, doubles included."""


@dataclass(frozen=True)
class _NotFinite:
    """NaN and infinities, which are no JSON, but which Python and Java write all the same."""

    value: float


@dataclass(frozen=True)
class _TooLong:
    """An integer of more digits than Python likes to read, or any column has."""

    is_negative: bool

    def __float__(self) -> float:
        return -math.inf if self.is_negative else math.inf


def _integer(digits: str) -> "int | _TooLong":
    return int(digits) if len(digits) < 400 else _TooLong(digits.startswith("-"))


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Object, parse_constant=lambda name: _NotFinite(float(name)), parse_int=_integer
)


def _shallow(line: bytes) -> bytes:
    """The line with brackets so deep that the json module gives up made few, as unbalanced as they were."""
    for opened, inner, closed in ((rb"\[", rb"1?", rb"\]"), (rb'\{"a":', rb"1", rb"\}")):
        deep = re.compile(b"((?:%s){200,})(%s)((?:%s)*)" % (opened, inner, closed))
        width = 1 if opened == rb"\[" else 5

        def fewer(found: "re.Match[bytes]", width: int = width) -> bytes:
            depth, ends = len(found[1]) // width, len(found[3])
            keep = max(0, 200 + max(-200, min(200, ends - depth)))
            return found[1][: 200 * width] + found[2] + found[3][:1] * keep

        line = deep.sub(fewer, line)
    return line


def read(line: bytes, kinds: dict[str, str]) -> Verdict | str:
    """What a line of JSON says of the columns that are asked for.

    Args:
        line: Without its newline.
        kinds: Column -> text, text or truth, number or texts. An integer is a text, too: its digits;
            in a list if all are.

    Returns:
        BLANK, or its row with a value or None for each column.
    """
    content = line.strip(b" \t\r")
    if not content:
        return BLANK
    not_json = ["not_json"] if _is_utf8(content) else ["not_json", "invalid_utf8"]
    shallow = _shallow(content)
    try:
        found = _DECODER.decode(shallow.decode("utf-8", "surrogateescape"))
    except ValueError:
        # Nobody reads so deep to see that an object where a text should stand doesn't end.
        return rejected(*not_json, *(["wrong_type"] if shallow != content else []))
    if not isinstance(found, _Object):
        return rejected(*not_json)
    reasons: set[str] = set()
    names = [name for name, _ in found if name in kinds]
    if len(set(names)) < len(names):
        reasons.add("not_json")
    row: Row = dict.fromkeys(kinds)
    for name, value in found:
        if name in kinds and value is not None:
            row[name] = _take(value, kinds[name], reasons=reasons)
    # A wide integer has but one way into a text column, and that wants UTF-8.
    doubtful = _is_doubtful(found) or (_has_wide_integer(row) and not _is_utf8(content))
    if reasons:
        return Verdict(frozenset(reasons.union(not_json if doubtful or not _is_utf8(content) else ())))
    return Verdict(frozenset({"not_json"} if doubtful else ()), row)


def _take(value: Any, kind: str, *, reasons: set[str]) -> Any:
    if kind == "text or truth":
        if isinstance(value, bool):
            return "true" if value else "false"
        kind = "text"
    if kind == "text" and _is_integer(value):
        return _digits(value, reasons)
    if kind == "number" and isinstance(value, _NotFinite):
        return value.value
    if kind == "number" and isinstance(value, int | float | _TooLong) and not isinstance(value, bool):
        return _as_float(value)
    if kind == "texts" and isinstance(value, list) and not isinstance(value, _Object):
        integers = all(part is None or _is_integer(part) for part in value)
        return [part if part is None else (_digits if integers else _take_text)(part, reasons) for part in value]
    return _take_text(value, reasons) if kind == "text" else _wrong(value, reasons)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _digits(value: int, reasons: set[str]) -> str:
    if not -(2**63) <= value < 2**64:
        reasons.update({"wrong_type", "not_json"})
    return str(value)


def _take_text(value: Any, reasons: set[str]) -> Any:
    if not isinstance(value, str):
        return _wrong(value, reasons)
    if re.search("[\ud800-\udfff]", value):
        # Bytes that are no UTF-8 (surrogateescape), or an escape of half a character.
        reasons.update({"invalid_utf8", "not_json"})
    return value


def _wrong(value: Any, reasons: set[str]) -> None:
    reasons.add("wrong_type")
    if isinstance(value, _NotFinite | _TooLong):
        reasons.add("not_json")


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _has_wide_integer(row: Row) -> bool:
    texts = [part for value in row.values() for part in (value if isinstance(value, list) else [value])]
    return any(isinstance(text, str) and re.fullmatch("1[0-9]{19}|9[0-9]{18}", text) for text in texts)


def _is_doubtful(value: Any) -> bool:
    """Whether a line holds what no writer of JSON may write, or no reader must take, though Python's does both."""
    if isinstance(value, _Object):
        return any(_is_doubtful(part) for _, part in value) or any(_half(name) for name, _ in value)
    if isinstance(value, list):
        return any(_is_doubtful(part) for part in value)
    if isinstance(value, float):
        return math.isinf(value)
    return isinstance(value, _NotFinite | _TooLong) or (isinstance(value, str) and _half(value))


def _half(text: str) -> bool:
    """Whether a text has half a character that isn't an odd byte."""
    return re.search("[\ud800-\udc7f\udd00-\udfff]", text) is not None


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


# ---------------------------------------------------------------------------------------------------- a line of a log

LOG_COLUMNS = {"who": "text", "what": "text", "how": "text or truth", "when": "number"}


def judge_log_line(line: bytes, *, needs_time: bool) -> Verdict | str:
    """What becomes of a line of `who` does `how` to `what`, `when` in seconds; its row has `when` in microseconds."""
    found = read(line, LOG_COLUMNS)
    if isinstance(found, str) or found.row is None:
        return found
    row = found.row
    broken = next(iter(_broken_rules(row, needs_time=needs_time)), None)
    if broken is not None:
        return Verdict(found.reasons | {broken})
    when = row["when"]
    return Verdict(found.reasons, row | {"when": None if when is None else round(when * 1_000_000)})


def _broken_rules(row: Row, *, needs_time: bool) -> list[str]:
    broken = []
    for name, column in (("query_id", "who"), ("item_id", "what")):
        if not row[column]:
            broken.append(f"missing_{name}")
        elif not _sane_id(row[column]):
            broken.append(f"bad_{name}")
    if not row["how"]:
        broken.append("missing_event")
    when = row["when"]
    if when is None:
        broken += ["missing_timestamp"] if needs_time else []
    elif not (abs(when) < 1e10 and 0 <= round(when * 1_000_000) < 7_258_118_400_000_000):  # 1970 to 2200
        broken.append("bad_timestamp")
    return broken


def _sane_id(text: str) -> bool:
    return 0 < len(text.encode()) <= 1024 and not CONTROL.search(text)


# ------------------------------------------------------------------------------------------- a line of an item table

ITEM_COLUMNS = {"app": "text", "title": "text", "kind": "text or truth", "tags": "texts", "price": "number"}


def judge_item_line(line: bytes) -> Verdict | str:
    """What becomes of a line of an item table; its row is cleaned as features are."""
    found = read(line, ITEM_COLUMNS)
    if isinstance(found, str) or found.row is None:
        return found
    row = found.row
    if not row["app"] or not _sane_id(row["app"]):
        return Verdict(found.reasons | {"bad_id"})
    tags = [_one_line(part) for part in row["tags"] or [] if part]
    kind = _one_line(row["kind"]) if row["kind"] else None
    price = row["price"] if row["price"] is not None and _is_float32(row["price"]) else None
    return Verdict(found.reasons, row | {"tags": tags, "kind": kind, "price": price})


def _one_line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)


def _is_float32(value: float) -> bool:
    try:
        return math.isfinite(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return False
