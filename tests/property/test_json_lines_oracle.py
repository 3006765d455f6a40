"""However a block of lines is read, each line gets the verdict that orjson and pyarrow give on it alone."""

import json
import re

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.json as pj
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.parsing.json_lines import parse_lines
from features.parsing.truth_values import with_truth_values

COLUMNS = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("n", pa.float64()),
        pa.field("tags", pa.list_(pa.string())),
        with_truth_values(pa.field("é", pa.string())),
        pa.field("v", pa.list_(pa.float32())),
    ]
)

texts = st.text(max_size=3) | st.sampled_from(["id", '"id":', "\\", "}{", "\x00", "\ud83d\ude00"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=6,
)
members = st.one_of(
    st.tuples(st.just("id"), texts | st.integers(-(2**63), 2**64)),
    st.tuples(st.just("id"), texts),
    st.tuples(st.just("é"), texts | anything),
    st.tuples(st.just("é"), st.booleans()),
    st.tuples(st.just("n"), st.floats() | st.integers(-(2**60), 2**60) | anything),
    st.tuples(st.just("tags"), st.lists(texts | st.none(), max_size=2) | anything),
    st.tuples(st.just("v"), st.lists(st.floats() | st.integers(-(2**63), 2**64) | st.none(), max_size=3) | anything),
    st.tuples(st.sampled_from(["x", "i", "idx", "", "ée"]) | texts, anything),
)


def written(members, ascii):
    text = ",".join(":".join(json.dumps(part, ensure_ascii=ascii) for part in member) for member in members)
    return ("{" + text + "}").encode("utf-8", "surrogatepass")


# Often two of a column in a line; then damaged: a byte changed or put in, the line cut, or run into the next one.
objects = st.builds(written, st.lists(members, max_size=4), st.booleans())
odd_bytes = st.sampled_from(list(b'\x00\x09\x0d\xff\xc3 "\\{}[]:,.0e-NnIt'))
changed = st.builds(
    lambda line, at, byte: line[:at] + bytes([byte]) + line[at + 1 :], objects, st.integers(0, 60), odd_bytes
)
grown = st.builds(lambda line, at, byte: line[:at] + bytes([byte]) + line[at:], objects, st.integers(0, 60), odd_bytes)
cut = st.builds(lambda line, at: line[:at], objects, st.integers(0, 60))
joined = st.builds(
    lambda first, space, second: first + space + second, objects | cut, st.sampled_from([b"", b" ", b"\n"]), objects
)
nasty = st.sampled_from(
    [
        b"", b" ", b"null", b"[1]", b"{}", b"{} {}", b"{},", b"{", b"}", b"{}null{}", b'{"id":"a"', b'{"id":"\xff"}',
        b'{"id":1,"x":"\xff"}', b'{"id":1,"n":NaN}', b'{"id":"a","id":"b"}', b'{"id":1,"id":"b"}', b'{"n":1,"n":2}',
        b'{"id":"}\r{"}', b'{"id":01}', b'{"n":-Infinity}', b'{"id":-0}', b'{"tags":["a"],"tags":["b"]}',
        b'{"n":1e400}', b'{"id":"\xed\xa0\x80"}', b'{"v":[1]}', b'{"v":[0.1,null],"id":1}', b'{"v":["1"]}',
        b'{"v":[1,true],"x":NaN}', b'{"v":[NaN]}', b'{"v":[1],"v":[2]}', b'{"v":[1e400]}',
    ]
)  # fmt: skip
lines = st.one_of(objects, objects, nasty, changed, grown, cut, joined)


@given(st.lists(lines, max_size=8), st.sampled_from([b"\n", b"\r\n", b"\n\n"]), st.booleans())
@example([b'{"id":"a"}', b'{"id":1,"n":NaN}'], b"\n", False)
@example(
    [b'{"tags":[0,null]}', b'{"tags":[0,"a"]}', b'{"tags":[true]}', b'{"tags":[18446744073709551615]}'], b"\n", False
)
@example([b'{"n":Infinity,"tags":[0]}'], b"\n", False)
@example([b'{"v":[1,2]}', b'{"v":[0.1,null]}', b'{"v":[1,"a"]}', b'{"v":[-Infinity]}', b'{"v":3}'], b"\n", False)
@settings(deadline=None)
def test_every_line_of_a_block_gets_the_verdict_on_it_alone(lines, newline, ends):
    block = newline.join(lines) + (newline if ends else b"")
    found = parse_lines(block, COLUMNS)
    expected_rows, expected_bad, blank, offset = [], [], 0, 0
    for line in block.removesuffix(b"\n").split(b"\n") if block else []:
        content = line.removesuffix(b"\r")
        verdict = alone(content.strip(b" \t\r"))
        if verdict is None:
            blank += 1
        elif isinstance(verdict, str):
            expected_bad.append((offset, verdict, content))
        else:
            expected_rows.append((offset, shown(verdict)))
        offset += len(line) + 1
    assert [(bad.offset, bad.reason, bad.content) for bad in found.bad] == expected_bad
    assert list(zip(found.offsets.tolist(), map(shown, found.rows.to_pylist()), strict=True)) == expected_rows
    assert found.blank == blank
    found.rows.validate(full=True)


def shown(row):
    """The row as text, NaN among it; whether 0 has a sign depends on what else is read as text."""
    return repr(row).replace("-0.0", "0.0")


def alone(content):
    """The row of a line, why it has none, or None if it is blank."""
    if not content:
        return None
    if not (content.startswith(b"{") and content.endswith(b"}")):
        return "not_json"
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return by_pyarrow(content)
    for name, right in (("id", str | int), ("n", int | float), ("tags", list), ("é", str | int), ("v", list)):
        part = value.get(name)
        if part is None:
            continue
        if (isinstance(part, bool) and name != "é") or not isinstance(part, right):
            return f"wrong_type ({name})"
        if name == "tags" and not (are_all(part, str) or are_all(part, int)):
            return f"wrong_type ({name})"
        if name == "v" and not are_all(part, int | float):
            return "wrong_type (v)"
    names = [name for name, _ in json.loads(content, object_pairs_hook=list) if name in COLUMNS.names]
    if len(set(names)) < len(names):
        return "not_json"
    # Integers as their digits; pyarrow would not take those beyond 64 bits. And true and false as these words.
    texts = {name: str(value[name]).lower() for name in ("id", "é") if isinstance(value.get(name), int)}
    if value.get("tags") and are_all(value["tags"], int):
        texts["tags"] = [None if tag is None else str(tag) for tag in value["tags"]]
    found = by_pyarrow(orjson.dumps(value | texts) if texts else content)
    if isinstance(found, dict):
        number, vector = value.get("n"), value.get("v")
        said = {**value, **texts, "n": None if number is None else float(number), "v": vector and as_float32(vector)}
        assert found == {name: said.get(name) for name in COLUMNS.names}  # pyarrow takes for a value what orjson does
    return found


def are_all(tags, kind):
    """Whether values of a list are of a type, or missing; true and false are no integers."""
    return all(tag is None or (isinstance(tag, kind) and not isinstance(tag, bool)) for tag in tags)


def as_float32(numbers):
    with np.errstate(over="ignore"):
        return [None if number is None else float(np.float32(float(number))) for number in numbers]


def by_pyarrow(content):
    """pyarrow's verdict: ids and lists as text, or else as integers, or an é as truth values."""
    types = COLUMNS.set(COLUMNS.get_field_index("v"), pa.field("v", pa.list_(pa.float64())))
    while True:
        options = pj.ParseOptions(explicit_schema=types, unexpected_field_behavior="ignore")
        try:
            table = pj.read_json(pa.BufferReader(content), pj.ReadOptions(use_threads=False), options)
            break
        except UnicodeDecodeError:
            return "invalid_utf8"
        except pa.ArrowInvalid as error:
            other = re.search(
                r"Column\(/(id|é|tags(?=/\[\]))(?:/\[\])?\) changed from string to (number|boolean)", str(error)
            )
            if not other or (other[1] != "é" and other[2] == "boolean"):
                found = re.search(r"Column\(/(.*?)(?:/\[\])?\) changed from", str(error))
                return f"wrong_type ({found[1]})" if found and is_json(content) else "not_json"
            kind = pa.int64() if other[2] == "number" else pa.bool_()
            kind = pa.list_(kind) if other[1] == "tags" else kind
            types = types.set(types.get_field_index(other[1]), pa.field(other[1], kind))
    if table.num_rows != 1:
        return "not_json"
    table = table.select(COLUMNS.names).cast(COLUMNS)
    try:
        table.validate(full=True)
    except pa.ArrowInvalid:
        return "invalid_utf8"
    return table.to_pylist()[0]


def is_json(content):
    try:
        json.loads(content.decode("utf-8", "surrogateescape"))
    except ValueError:
        return False
    return True
