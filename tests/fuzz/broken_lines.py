"""Seeded lines of JSON with everything wrong with them that ever was wrong with a log, and good ones between."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]
Draw: TypeAlias = random.Random
MakeRow: TypeAlias = Callable[[Draw], Row]


def log_row(draw: Draw) -> Row:
    """A good row of a log: 40 queries, 30 items, a column that nobody asked for."""
    row: Row = {
        "who": draw.choice([f"u{draw.randrange(40)}", f"ü{draw.randrange(9)}", draw.randrange(40)]),
        "what": draw.choice([f"a{draw.randrange(30)}", f"猫{draw.randrange(9)}", draw.randrange(30)]),
        "how": draw.choice(["get", "buy", "get", "view"]),
        "when": draw.choice([draw.randrange(2_000_000_000), draw.random() * 1e9, 0, 7258118399]),
    }
    if draw.random() < 0.3:
        row["x"] = draw.choice([None, 1, -2.5e-7, "y", [1, {"who": "nested"}], {"who": [None], "a": {}}, True])
    return row


def item_row(draw: Draw) -> Row:
    """A good row of an item table, its id one of very many."""
    row: Row = {"app": draw.choice([f"a{draw.randrange(1 << 40)}", draw.randrange(1 << 40)])}
    optional: Row = {
        "title": draw.choice(["Red apple", "", "tab\there", None, "ß猫"]),
        "kind": draw.choice(["x", "y", "", None, 7, "line\nbreak\x7f"]),
        "tags": draw.choice([["art"], [], ["art", None, ""], ["a\x00b", "ü"], None]),
        "price": draw.choice([0, 1.5, -3, 1e38, 1e39, 2**53 + 1, -1e300, None]),
        "x": draw.choice([None, [[]], {"price": "free"}]),
    }
    return row | {name: value for name, value in optional.items() if draw.random() < 0.8}


def fuzz(make_row: MakeRow, *, lines: int, seed: int) -> list[bytes]:
    """At least so many lines, none with a newline in it; about two in three are broken."""
    draw = random.Random(seed)
    found: list[bytes] = []
    while len(found) < lines:
        found += _some(draw, make_row(draw)).split(b"\n")
    return found


def _some(draw: Draw, row: Row) -> bytes:
    if draw.random() < 0.3:
        return write(draw, row)
    line = draw.choice(WAYS)(draw, row)
    # One in eight is broken twice.
    return draw.choice(BLOWS)(draw, line) if draw.random() < 0.125 and len(line) < 900 else line


def write(draw: Draw, row: Row) -> bytes:
    """A row as one writer or another would write it."""
    names = list(row)
    draw.shuffle(names)
    separators = draw.choice([(",", ":"), (", ", ": "), (" ,\t", " : ")])
    text = json.dumps({name: row[name] for name in names}, ensure_ascii=draw.random() < 0.5, separators=separators)
    return draw.choice(["", "", "", " ", "\t"]).encode() + text.encode() + draw.choice([b"", b"", b"", b"\r", b" \r"])


# ------------------------------------------------------------------------------------------------------ other values


def _replace(draw: Draw, row: Row, *, value: str) -> bytes:
    """The row with one value replaced by a text that is written as it stands."""
    name = draw.choice(list(row))
    return write(draw, row | {name: "@@"}).replace(b'"@@"', value.encode("utf-8", "surrogatepass"))


OTHER_VALUES = [
    *("true", "false", "null", '""', '" "', "[]", "{}", '["a"]', '{"who":"a"}', "[[1],[2]]", "1.0", "1e3", "-1", "-0"),
    *("NaN", "Infinity", "-Infinity", "nan", "1e400", "-1e400", "1e-400", "1E5", "0.5", "01", "+5", ".5", "5.", "0x10"),
    *("9223372036854775807", "9223372036854775808", "18446744073709551615"),
    *("18446744073709551616", "-9223372036854775808"),
    *("9" * 30, "9" * 400, "-" + "9" * 5000, "9007199254740993", "1" + "0" * 308, "0." + "1" * 400, "1e308", "4e38"),
    *("253402300800", "7258118400", "7258118399.9999999", "-1e-9", "1e18", "2e9", "99999999999999999"),
    *('"2024-01-01T00:00:00Z"', '"1"', '"null"', "'a'", "None", "undefined", '"a', 'a"', '"\\"', '"\\x41"', '"\\u12"'),
    *('"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', '"\\u001f"', '"\\u007f"', '"a\\nb"', '"\\/"'),
    *('"\ud800"', '"\x00"', '"\x01"', '"\x7f"', '"\x85"', '"\u2028"', '"\ufeff"', '"tab\there"', '"cr\rhere"', '"\\'),
    *(json.dumps("i" * 1024), json.dumps("i" * 1025), json.dumps("é" * 512), json.dumps("é" * 513)),
    *("[1]", "[null,-7,9223372036854775808]"),
    *('[null]', '["a",null,""]', '["a",1]', '["a",["b"]]', '[true]', '["\\ud800"]'),
    *('["\x00"]', "[", "]", "{", "}"),
]  # fmt: skip


def _odd_value(draw: Draw, row: Row) -> bytes:
    return _replace(draw, row, value=draw.choice(OTHER_VALUES))


def _without_column(draw: Draw, row: Row) -> bytes:
    name = draw.choice(list(row))
    return write(draw, {key: value for key, value in row.items() if key != name})


def _retyped_column(draw: Draw, row: Row) -> bytes:
    name, other = draw.choice(list(row)), draw.choice(list(row))
    return write(draw, row | {name: draw.choice([row[other], [row[other]], {other: row[other]}, str(row[other])])})


def _column_twice(draw: Draw, row: Row) -> bytes:
    name = draw.choice(list(row))
    value = json.dumps(draw.choice([row[name], None, "b", 5, "b", [1]]))
    key = draw.choice([name, "".join(f"\\u{ord(letter):04x}" for letter in name)])
    return write(draw, row).strip()[:-1] + f',"{key}":{value}}}'.encode()


def _other_case(draw: Draw, row: Row) -> bytes:
    name = draw.choice(list(row))
    key = draw.choice([name.upper(), f"{name} ", f"\ufeff{name}", f"{name}\x00", ""])
    return write(draw, {key if old == name else old: value for old, value in row.items()})


def _deep(draw: Draw, row: Row) -> bytes:
    depth = draw.choice([900, 1_100, 10_000, 100_000])
    opened, closed = draw.choice([("[", "]"), ('{"a":', "}")])
    lacking = draw.choice([0, 0, 1, depth])
    inner = "1" if opened != "[" or draw.random() < 0.5 else ""
    name = draw.choice(["x", draw.choice(list(row))])
    written = write(draw, row | {name: "@@"})
    return written.replace(b'"@@"', (opened * depth + inner + closed * (depth - lacking)).encode())


def _long(draw: Draw, row: Row) -> bytes:
    name = draw.choice(["x", *row])
    return write(draw, row | {name: draw.choice(["long ", "ü", "\x00", '"']) * draw.choice([2_000, 20_000])})


# ------------------------------------------------------------------------------------------------------- other lines

OTHER_LINES = [
    *(b"", b" ", b"\t", b"\r", b" \r", b"\x0b", b"\x0c", b"\xc2\xa0", b"\x00", b"\x00" * 40),
    *(b"\xff\xfe", b"\xef\xbb\xbf"),
    *(b"null", b"true", b"0", b'"text"', b"[]", b"[{}]", b"{}", b"{ }", b"{", b"}", b"}{"),
    *(b"{{}}", b"{},", b",{}", b"{}{}"),
    *(b"{}null{}", b'{"who"}', b'{"who":}', b'{"who":"u1",}', b'{,"who":"u1"}', b'{"who" "u1"}'),
    *(b"{'who':'u1'}", b"{who:1}"),
    *(b"who,what,how,when", b"u1\ta1\tget\t1", b"<a/>", b"# comment", b"// {}", b"/* */{}"),
    *(b'{"who":"u1"} // x', b"{\"a\":1;}"),
    *(b"Traceback (most recent call last):", b"\x1f\x8b\x08\x00", b"PAR1", b"\x00\x01\x02\x03"),
    *(b"nan", b"NaN", b"()", b"{]"),
]  # fmt: skip


def _other_line(draw: Draw, row: Row) -> bytes:
    return draw.choice(OTHER_LINES)


def _two_on_a_line(draw: Draw, row: Row) -> bytes:
    return draw.choice([b"", b" ", b",", b"\r", b"\x00", b"\x0b", b" null "]).join([write(draw, row).strip()] * 2)


def _over_two_lines(draw: Draw, row: Row) -> bytes:
    line = write(draw, row)
    cut = draw.randrange(1, len(line))
    return line[:cut] + b"\n" + line[cut:]


def _pretty(draw: Draw, row: Row) -> bytes:
    return json.dumps(row, indent=2).encode()


def _other_encoding(draw: Draw, row: Row) -> bytes:
    text = json.dumps(row, ensure_ascii=False)
    return text.encode(draw.choice(["latin-1", "utf-16", "utf-8-sig", "utf-7"]), "replace").replace(b"\n", b"")


# -------------------------------------------------------------------------------------------- blows to a line as it is


def _cut(draw: Draw, line: bytes) -> bytes:
    at = draw.randrange(len(line) + 1)
    return draw.choice([line[:at], line[at:], line[:-1]])


def _insert(draw: Draw, line: bytes) -> bytes:
    at = draw.randrange(len(line) + 1)
    what = draw.choice(
        [b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b'"', b"\\", b"}", b"{", b",", b"\xf5"]
    )
    return line[:at] + what + line[at:]


def _flip(draw: Draw, line: bytes) -> bytes:
    flipped = bytearray(line)
    for _ in range(draw.choice([1, 1, 3])):
        if flipped:
            flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
    return bytes(flipped).replace(b"\n", b"\r")


def _repeat(draw: Draw, line: bytes) -> bytes:
    start, length = draw.randrange(len(line) + 1), draw.randrange(1, 20)
    return line[:start] + line[start : start + length] * 2 + line[start + length :]


BLOWS: list[Callable[[Draw, bytes], bytes]] = [_cut, _insert, _flip, _repeat]


def _struck(draw: Draw, row: Row) -> bytes:
    return draw.choice(BLOWS)(draw, write(draw, row))


WAYS: list[Callable[[Draw, Row], bytes]] = [
    *[_odd_value] * 9, *[_struck] * 6, *[_other_line] * 2, *[_two_on_a_line] * 2, *[_column_twice] * 2,
    *(_without_column, _retyped_column, _other_case, _over_two_lines, _other_encoding),
    *((lambda draw, row: _rarely(draw, row, way=_deep)), (lambda draw, row: _rarely(draw, row, way=_long))),
    lambda draw, row: _rarely(draw, row, way=_pretty),
]  # fmt: skip


def _rarely(draw: Draw, row: Row, *, way: Callable[[Draw, Row], bytes]) -> bytes:
    """Lines that are long, or many, one time in twenty."""
    return way(draw, row) if draw.random() < 0.05 else _odd_value(draw, row)


def huge_lines(make_row: MakeRow, *, size: int, seed: int) -> Iterator[bytes]:
    """A few lines of more bytes than a block has."""
    draw = random.Random(seed)
    row = make_row(draw)
    for name in ("x", *row):
        yield write(draw, row | {name: "long " * (size // 5)})
    yield write(draw, row)[:-1] + b"," + b" " * size
    yield b"\x00" * size
    yield b"[" * size
    yield write(draw, row | {"x": "@@"}).replace(b'"@@"', b"[" * (size // 2) + b"]" * (size // 2))
    yield b" " * size
