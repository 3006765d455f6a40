"""CSV as Python's csv module reads it, strictly; the verdict on a record depends on nothing behind it."""

import csv
import io
import re

import pytest
from each_type import COLUMNS
from hypothesis import example, given
from hypothesis import strategies as st

from features.parsing import csv_records
from features.parsing.csv_lines import Dialect, parse_csv

NAMES = ("id", "ignored", "n", "tags")

fields = st.text(st.sampled_from('ab",;|\n\r\t é1'), max_size=5)
numbers = st.sampled_from(["", "1", "-2.5", "1e3"])
rows = st.lists(st.tuples(fields, fields, numbers, fields), max_size=6)


@given(rows, st.sampled_from([",", ";", "\t", "|"]), st.sampled_from(["\n", "\r\n"]), st.sampled_from([0, 1, 2]))
def test_what_the_csv_module_writes_is_read(rows, delimiter, newline, quoting):
    if newline == "\n":  # then the module leaves returns unquoted
        rows = [tuple(field.replace("\r", "") for field in row) for row in rows]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=newline, quoting=quoting).writerows(rows)
    block = text.getvalue().encode()
    parsed, taken = parse_csv(block, COLUMNS, names=NAMES, dialect=Dialect(delimiter, list_separator="#"))
    assert (parsed.bad, parsed.blank, taken) == ([], 0, len(block))
    assert parsed.rows.to_pylist() == [
        {"id": a or None, "n": float(n) if n else None, "tags": [b] if b else None, "v": None} for a, _, n, b in rows
    ]


pieces = st.sampled_from(
    [b"a", b'"', b'""', b'"""', b",", b"|", b"\n", b"\r\n", b"\r", b"\0", "é".encode(), b"\xff", b"1", b"a,b,1,c",
     b'"a\nb",,2,"x|y"', b"\xef\xbb\xbf", b'"q', b'q"', b",,,"]
)  # fmt: skip
contents = st.lists(pieces, max_size=14).map(b"".join)


def verdicts(parsed, offset=0):
    good = zip(parsed.offsets.tolist(), map(repr, parsed.rows.to_pylist()), strict=True)
    return sorted([(offset + at, row) for at, row in good] + [(offset + b.offset, b.reason) for b in parsed.bad])


def by_csv_module(content, quoted_newlines):
    """(offset, row or reason) of each record, and how many lines are blank."""
    lines = [line for line in re.split(rb"(?<=\n)", content) if line]
    found, blank, at, line = [], 0, 0, 0
    while line < len(lines):
        if not lines[line].removesuffix(b"\n").removesuffix(b"\r"):
            blank += 1
            record, upto = None, line + 1
        else:
            record, upto = one_record(lines, line, quoted_newlines)
            found.append((at, record))
        at += sum(map(len, lines[line:upto]))
        line = upto
    return found, blank


def one_record(lines, first, quoted_newlines):
    """The row or the reason, and the number of the line behind it."""
    last = first + 1
    while True:
        text = b"".join(lines[first:last]).removesuffix(b"\n").removesuffix(b"\r").decode("latin-1")
        try:
            values = next(csv.reader([text], strict=True))
            if text.endswith("\r"):  # which the module takes for the end of the line
                next(csv.reader([text + "x"], strict=True))
            break
        except csv.Error as error:
            if "unexpected end" in str(error) and last < len(lines) and quoted_newlines:
                last += 1
                continue
            return ("bare_return" if "new-line" in str(error) else "unbalanced_quote"), first + 1
    return judge(text.encode("latin-1"), [value.encode("latin-1") for value in values]), last


def judge(raw, values):
    if b"\0" in raw:
        return "nul_byte"
    try:
        values = [value.decode() for value in values]
        raw.decode()
    except UnicodeDecodeError:
        return "invalid_utf8"
    if len(values) != 4:
        return "field_count"
    try:
        number = float(values[2]) if values[2] else None
    except ValueError:
        return "wrong_type (n)"
    tags = values[3].split("|") if values[3] else None
    return repr({"id": values[0] or None, "n": number, "tags": tags, "v": None})


@given(contents, st.booleans())
@example(b'a,"b\nc,d\n', True)
@example(b'"a"\r\r\n', True)
@example(b"\r\r\n", False)
def test_any_bytes_are_judged_as_by_the_csv_module(content, quoted_newlines):
    parsed, taken = parse_csv(
        content, COLUMNS, names=NAMES, dialect=Dialect(list_separator="|", quoted_newlines=quoted_newlines)
    )
    expected, blank = by_csv_module(content, quoted_newlines)
    assert taken == len(content)
    assert parsed.blank == blank
    found = verdicts(parsed)
    assert [at for at, _ in found] == [at for at, _ in expected]
    for (_, mine), (_, theirs) in zip(found, expected, strict=True):
        # Of two faults in one record either may be named.
        assert mine == theirs or {mine, theirs} <= {"unbalanced_quote", "bare_return", "nul_byte", "invalid_utf8"}


@given(contents, st.lists(st.integers(0, 60), max_size=4), st.integers(3, 20))
def test_the_verdict_on_a_record_does_not_depend_on_where_blocks_are_cut(content, cuts, longest):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_records, "MAX_RECORD_BYTES", longest)
        whole, _ = parse_csv(content, COLUMNS, names=NAMES, dialect=Dialect(list_separator="|"))
        found, blank, rest, at = [], 0, b"", 0
        for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(content)], strict=True):
            block = rest + content[start:end]
            parsed, taken = parse_csv(block, COLUMNS, names=NAMES, dialect=Dialect(list_separator="|"), last=False)
            found += verdicts(parsed, at)
            blank, rest, at = blank + parsed.blank, block[taken:], at + taken
        parsed, _ = parse_csv(rest, COLUMNS, names=NAMES, dialect=Dialect(list_separator="|"))
    assert (found + verdicts(parsed, at), blank + parsed.blank) == (verdicts(whole), whole.blank)
