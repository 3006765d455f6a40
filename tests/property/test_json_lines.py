"""A row of a line is what the json module reads."""

import json

from hypothesis import given
from hypothesis import strategies as st
from three_columns import COLUMNS

from features.parsing.json_lines import parse_lines

texts = st.text(max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
# Mostly as it should be, or one line in many would be good.
rows = st.fixed_dictionaries(
    {},
    optional={
        "id": texts | st.integers(-(2**64), 2**65) | values,
        "n": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53) | values,
        "tags": st.lists(texts | st.none(), max_size=3) | st.lists(st.integers(-(2**64), 2**65) | st.none()) | values,
        "x": values,
    },
)


@given(st.lists(st.tuples(rows, st.booleans()), min_size=1, max_size=5))
def test_every_row_says_what_the_json_module_reads(pairs):
    block = b"".join(json.dumps(row, ensure_ascii=ascii).encode("utf-8") + b"\n" for row, ascii in pairs)
    assert len(block.split(b"\n")) == len(pairs) + 1
    parsed = parse_lines(block, COLUMNS)
    expected = [found for line in block.splitlines() if (found := by_hand(json.loads(line))) is not None]
    assert parsed.rows.to_pylist() == expected
    assert {bad.reason for bad in parsed.bad} <= {"wrong_type (id)", "wrong_type (n)", "wrong_type (tags)", "not_json"}
    assert len(parsed.bad) + len(expected) == len(pairs)


def is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**64


def by_hand(row):
    """The row as COLUMNS has it; None if a value is of another type, or no column could hold it."""
    name, number, tags = row.get("id"), row.get("n"), row.get("tags")
    if is_integer(name):
        name = str(name)
    if isinstance(tags, list) and all(tag is None or is_integer(tag) for tag in tags):
        tags = [None if tag is None else str(tag) for tag in tags]
    if not (name is None or isinstance(name, str)):
        return None
    if isinstance(number, bool) or not (number is None or isinstance(number, int | float)):
        return None
    if not (tags is None or (isinstance(tags, list) and all(tag is None or isinstance(tag, str) for tag in tags))):
        return None
    return {"id": name, "n": None if number is None else float(number), "tags": tags}
