"""Records of CSV: what gives a row, what is refused and why, and where each stood."""

import pyarrow as pa
import pytest
from each_type import COLUMNS, row

from features.parsing.csv_lines import Dialect, parse_csv, parse_header

NAMES = ("n", "id", "tags")
DIALECT = Dialect(list_separator=";")


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (b"1.5,a,x;y", row("a", 1.5, ["x", "y"])),
        (b",,", row()),
        (b'"","",""', row()),
        (b'"1","a","x;y"', row("a", 1.0, ["x", "y"])),
        (b'1,"a,b",x', row("a,b", 1.0, ["x"])),
        (b'1,"say ""hi""",', row('say "hi"', 1.0)),
        (b'1,"""",', row('"', 1.0)),
        (b'1,"two\nlines",', row("two\nlines", 1.0)),
        (b'1,"two\r\nlines\n\n",x', row("two\r\nlines\n\n", 1.0, ["x"])),
        (b'1,19" screen,', row('19" screen', 1.0)),
        # An id is the text that stands there.
        (b"1,007,", row("007", 1.0)),
        (b"1,-7.0,", row("-7.0", 1.0)),
        (b"1, a ,", row(" a ", 1.0)),
        (b"1,null,", row("null", 1.0)),
        ("1,é,ü;ß".encode(), row("é", 1.0, ["ü", "ß"])),
        (b"1,a,x;;y", row("a", 1.0, ["x", "", "y"])),
        # Numbers.
        (b" 5\t,a,", row("a", 5.0)),
        (b"+5,a,", row("a", 5.0)),
        (b".5e-1,a,", row("a", 0.05)),
        (b"1700000000123,a,", row("a", 1700000000123.0)),
        (b"9007199254740993,a,", row("a", 9007199254740992.0)),
        (b"-inf,a,", row("a", float("-inf"))),
    ],
)
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_record_that_gives_a_row(record, expected, end):
    parsed, taken = parse_csv(record + end, COLUMNS, names=NAMES, dialect=DIALECT)
    assert (parsed.rows.to_pylist(), parsed.bad, parsed.offsets.tolist()) == ([expected], [], [0])
    assert taken == len(record + end)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1,a", "field_count"),
        (b"1,a,x,y", "field_count"),
        (b"1;a;x", "field_count"),
        (b'1,"a,x', "unbalanced_quote"),
        (b'1,"a"b,x', "unbalanced_quote"),
        (b'1,"a" ,x', "unbalanced_quote"),
        (b'1,"a"",x', "unbalanced_quote"),
        (b'"', "unbalanced_quote"),
        (b"1,a\rb,x", "bare_return"),
        (b"1,a,x\r\r", "bare_return"),
        (b"1,a\0,x", "nul_byte"),
        (b"1,\xff,x", "invalid_utf8"),
        (b"1,\xed\xa0\x80,x", "invalid_utf8"),
        (b"x,a,", "wrong_type (n)"),
        (b"1_0,a,", "wrong_type (n)"),
        (b"0x1F,a,", "wrong_type (n)"),
        (b"1 2,a,", "wrong_type (n)"),
        ("٣,a,".encode(), "wrong_type (n)"),
        (b"true,a,", "wrong_type (n)"),
        (b"n,id,tags", "repeated_header"),
        (b'\xef\xbb\xbfn,"id",tags\r', "repeated_header"),
    ],
)
def test_a_line_that_gives_none_costs_itself_alone(line, reason):
    parsed, _ = parse_csv(b"1,b,\n" + line + b"\n2,c,\n", COLUMNS, names=NAMES, dialect=DIALECT)
    content = line.removesuffix(b"\r")
    assert [(bad.offset, bad.reason, bad.content) for bad in parsed.bad] == [(5, reason, content)]
    assert parsed.rows.column("id").to_pylist() == ["b", "c"]
    assert parsed.offsets.tolist() == [0, 6 + len(line)]


def test_null_values_are_missing_in_every_column_and_in_quotes():
    dialect = Dialect(list_separator=";", null_values=("NULL", r"\N"))
    lines = b'NULL,NULL,NULL\n"\\N","NULL","\\N"\n1,null,NULL;x\n2,\\N NULL,\n'
    parsed, _ = parse_csv(lines, COLUMNS, names=NAMES, dialect=dialect)
    assert parsed.rows.to_pylist() == [row(), row(), row("null", 1.0, ["NULL", "x"]), row(r"\N NULL", 2.0)]
    assert parsed.bad == []


def test_a_field_of_spaces_is_no_number_rather_than_a_bad_one():
    parsed, _ = parse_csv(b"  ,a,\n \t,b,\n 5 ,c,\n", COLUMNS, names=NAMES, dialect=DIALECT)
    assert parsed.bad == []
    assert parsed.rows.column("n").to_pylist() == [None, None, 5.0]


def test_a_vector_is_the_numbers_between_separators():
    dialect = Dialect(list_separator=";", null_values=("NULL",))
    vectors = ["1;-2.5; 3e-1\t", "", "7", " ", "NULL", "1;;2", "1;", "1;x;2", "[1;2]", "NULL;1", "-inf;.5"]
    lines = "".join(f"{number},{vector}\n" for number, vector in enumerate(vectors))
    parsed, _ = parse_csv(lines.encode(), COLUMNS, names=("id", "v"), dialect=dialect)
    assert [(row["id"], row["v"]) for row in parsed.rows.to_pylist()] == [
        ("0", [1.0, -2.5, 0.30000001192092896]),
        ("1", None),
        ("2", [7.0]),
        ("3", None),
        ("4", None),
        ("10", [float("-inf"), 0.5]),
    ]
    assert [(bad.content[:1], bad.reason) for bad in parsed.bad] == [
        (b"%d" % number, "wrong_type (v)") for number in range(5, 10)
    ]
    good, _ = parse_csv(b"a,1 2\nb,\nc, 3  \n", COLUMNS, names=("id", "v"), dialect=Dialect(list_separator=" "))
    assert (good.rows.column("v").to_pylist(), good.bad) == ([[1.0, 2.0], None, [3.0]], [])


@pytest.mark.parametrize("separator", ["|", ",", " > ", "\\"])
def test_a_vector_in_brackets_is_as_json_or_numpy_writes_it_whatever_separates_values(separator):
    vectors = {
        "[0.5, -2.5e-1]": [0.5, -0.25],
        " [1,2] ": [1.0, 2.0],
        "[ 0.5 -2.\n  3.5]": [0.5, -2.0, 3.5],
        "[]": None,
        "[ ]": None,
        "": None,
        separator.join("12"): [1.0, 2.0],
    }
    bad = ["[1,,2]", "[1", "1]", "[1, null]", "[[1, 2]]", "[1|2]", "[1 > 2]", "[1\\2]", "[1;2]", "[1 ... 2]"]
    lines = "".join(f'{number},"{text}"\n' for number, text in enumerate([*vectors, *bad]))
    parsed, _ = parse_csv(lines.encode(), COLUMNS, names=("id", "v"), dialect=Dialect(list_separator=separator))
    assert parsed.rows.column("v").to_pylist() == list(vectors.values())
    assert {line.reason for line in parsed.bad} == {"wrong_type (v)"}
    assert len(parsed.bad) == 10


def test_of_several_columns_that_hold_no_numbers_the_first_to_be_read_is_named():
    columns = pa.schema([("price", pa.float64()), ("mass", pa.float64())])
    lines = b'1.5,1\n"1,5",1\n"1,5","1,5"\n1.5,"1,5"\n,\n'
    parsed, _ = parse_csv(lines, columns, names=("mass", "price"), dialect=Dialect())
    assert [(bad.offset, bad.reason) for bad in parsed.bad] == [
        (6, "wrong_type (mass)"), (14, "wrong_type (price)"), (26, "wrong_type (price)")
    ]  # fmt: skip
    assert parsed.rows.column("price").to_pylist() == [1.0, None]


def test_a_record_of_several_lines_that_is_bad_costs_its_first_line():
    parsed, _ = parse_csv(b'1,"a\n2,b,\n3,c,\n', COLUMNS, names=NAMES, dialect=DIALECT)
    assert [(bad.offset, bad.reason, bad.content) for bad in parsed.bad] == [(0, "unbalanced_quote", b'1,"a')]
    assert parsed.rows.column("id").to_pylist() == ["b", "c"]


def test_without_quoted_newlines_every_line_is_a_record():
    lines = b'1,"a\nb",x\n2,"c,d",x\n'
    parsed, _ = parse_csv(lines, COLUMNS, names=NAMES, dialect=Dialect(list_separator=";", quoted_newlines=False))
    assert [(bad.offset, bad.reason) for bad in parsed.bad] == [(0, "unbalanced_quote"), (5, "field_count")]
    assert parsed.rows.column("id").to_pylist() == ["c,d"]


def test_what_may_go_on_behind_the_block_is_left():
    block = b'1,a,\n2,"b\nc,d\n'
    parsed, taken = parse_csv(block, COLUMNS, names=NAMES, dialect=DIALECT, last=False)
    assert (parsed.rows.column("id").to_pylist(), parsed.bad, taken) == (["a"], [], 5)
    # A quote that nothing could close is no reason to wait.
    parsed, taken = parse_csv(b'1,a,\n2,"b"c\n', COLUMNS, names=NAMES, dialect=DIALECT, last=False)
    assert ([bad.offset for bad in parsed.bad], taken) == ([5], 12)


def test_a_quote_waits_a_mebibyte_for_the_one_that_closes_it():
    just = b'1,"' + b"\n" * ((1 << 20) - 6) + b'",\n'
    assert len(just) == 1 << 20
    parsed, _ = parse_csv(just, COLUMNS, names=NAMES, dialect=DIALECT)
    assert (parsed.rows.num_rows, parsed.bad) == (1, [])
    parsed, _ = parse_csv(just.replace(b"1,", b"10,"), COLUMNS, names=NAMES, dialect=DIALECT)
    assert parsed.rows.num_rows == 0
    assert [bad.reason for bad in parsed.bad] == ["unbalanced_quote", "unbalanced_quote"]
    # On one line nothing waits.
    parsed, _ = parse_csv(b'1,19" %b,\n' % (b"x" * (1 << 20)), COLUMNS, names=NAMES, dialect=DIALECT)
    assert (parsed.rows.num_rows, parsed.bad) == (1, [])


def test_behind_a_mebibyte_of_others_a_record_may_run_over_lines_and_wait_for_its_end():
    lines = b"1,a,x\n" * 180_000
    assert len(lines) > 1 << 20
    ended = lines + b'1,"two\nlines",x\n'
    parsed, taken = parse_csv(ended + b'2,"b\nc', COLUMNS, names=NAMES, dialect=DIALECT, last=False)
    assert (parsed.bad, parsed.rows.num_rows, taken) == ([], 180_001, len(ended))
    assert parsed.rows.column("id")[180_000].as_py() == "two\nlines"


def test_blank_lines_are_counted_and_columns_that_are_not_there_are_missing():
    parsed, _ = parse_csv(b"\na\n\r\n\nb\n", COLUMNS, names=("id",), dialect=DIALECT)
    assert parsed.blank == 3
    assert parsed.rows.to_pylist() == [row("a"), row("b")]
    assert parsed.offsets.tolist() == [1, 6]


@pytest.mark.parametrize(
    ("names", "line", "reason"),
    [
        (("id", "other"), b"id,other", "repeated_header"),
        (("id", "other"), b"id,1", None),
        (("other", "id"), b"1" * 200_000 + b",id", None),
        (("id", "other"), b"\xef\xbb\xbfid,other", "repeated_header"),
        (("id",), b"id", None),  # perhaps one that is called so
    ],
)
def test_a_header_once_more_is_one_by_all_of_its_columns(names, line, reason):
    parsed, _ = parse_csv(line + b"\n", COLUMNS, names=names, dialect=DIALECT)
    assert [bad.reason for bad in parsed.bad] == ([reason] if reason else [])
    assert parsed.rows.column("id").to_pylist() == ([] if reason else ["id"])


def test_a_mark_of_byte_order_is_one_in_a_header_alone():
    assert parse_header(b'\xef\xbb\xbfid,"n",\r\n', DIALECT) == ("id", "n", "")
    parsed, _ = parse_csv(b"\xef\xbb\xbfa\n", COLUMNS, names=("id",), dialect=DIALECT)
    assert parsed.rows.column("id").to_pylist() == ["\ufeffa"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'"id,n\n', "^unexpected end of data$"),
        (b"id,\xff\n", "can't decode byte 0xff in position 3"),
        (b'"id"x,n\n', "^',' expected after '\"'$"),
        (b"id\rn\rx\n", "^lines end in a carriage return alone, not in a newline$"),
    ],
)
def test_a_header_that_is_none(line, message):
    with pytest.raises(ValueError, match=message):
        parse_header(line, DIALECT)


def test_nothing_gives_no_rows_of_the_right_columns():
    parsed, taken = parse_csv(b"", COLUMNS, names=NAMES, dialect=DIALECT)
    assert (parsed.rows.schema, parsed.rows.num_rows, parsed.bad, parsed.blank, taken) == (COLUMNS, 0, [], 0, 0)
