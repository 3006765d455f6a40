"""Lines of JSON: what gives a row, what is refused and why, and where each stood."""

import pyarrow as pa
import pytest
from each_type import COLUMNS, row

from features.parsing import json_lines
from features.parsing.json_lines import parse_lines


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"id":"a","n":1.5,"tags":["x","y"]}', row("a", 1.5, ["x", "y"])),
        (b"{}", row()),
        (b'{"id":null,"n":null,"tags":null}', row()),
        (b'{"other":{"deep":[1,2]},"id":"a"}', row("a")),
        (b' \t{"id":"a"}  \r', row("a")),
        (b'{"id":"\\u00e9\\n\\u0000"}', row("é\n\0")),
        (b'{"tags":[]}', row(tags=[])),
        (b'{"tags":["x",null]}', row(tags=["x", None])),
        (b'{"n":-0.5e-3}', row(n=-0.0005)),
        (b'{"n":9007199254740993}', row(n=9007199254740992.0)),
        # An id that is an integer is its digits.
        (b'{"id":42}', row("42")),
        (b'{"id":-7}', row("-7")),
        (b'{"id":9223372036854775808}', row("9223372036854775808")),
        (b'{"id":42,"n":1,"tags":["x"],"other":null}', row("42", 1.0, ["x"])),
        (b'{"tags":[7,null,-8]}', row(tags=["7", None, "-8"])),
        (b'{"tags":[1],"x":NaN}', row(tags=["1"])),
        (b'{"id":42,"tags":[null]}', row("42", tags=[None])),
        # Numbers of a vector, integers or not, are what the nearest float32 is.
        (b'{"v":[0.5,-2,1e-3,null]}', row(v=[0.5, -2.0, 0.0010000000474974513, None])),
        (b'{"v":[]}', row(v=[])),
        (b'{"v":[null]}', row(v=[None])),
        (b'{"id":7,"v":[7]}', row("7", v=[7.0])),
        (b'{"v":[1,-Infinity,0.5]}', row(v=[1.0, float("-inf"), 0.5])),
        (b'{"v":[1e39,18446744073709551616]}', row(v=[float("inf"), 18446744073709551616.0])),
        # Columns that nobody asked for are not looked at.
        (b'{"id":"a","x":1,"x":2}', row("a")),
        (b'{"id":7,"x":"\xff"}', row("7")),
        (b'{"id":7,"x":' + b"[" * 5000 + b"]" * 5000 + b"}", row("7")),
        (b'{"id":7,"tags":["\\"id\\":"],"x":{"id":[' + b"9" * 5000 + b"]}}", row("7", tags=['"id":'])),
    ],
)
def test_a_line_that_gives_a_row(line, expected):
    parsed = parse_lines(line, COLUMNS)
    assert (parsed.rows.to_pylist(), parsed.bad, parsed.offsets.tolist()) == ([expected], [], [0])
    beside = parse_lines(b"{\n" + line, COLUMNS)
    assert (beside.rows.to_pylist(), beside.offsets.tolist()) == ([expected], [2])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id":"a"', "not_json"),
        (b'{"id":"a"},', "not_json"),
        (b'{"id":"a",}', "not_json"),
        (b"{'id':'a'}", "not_json"),
        (b"[1]", "not_json"),
        (b"null", "not_json"),
        (b'"text"', "not_json"),
        (b'{"id":"a"}{"id":"b"}', "not_json"),
        (b'{"id":"a"} null {"id":"b"}', "not_json"),
        (b"{}null{}", "not_json"),
        (b'{"id":"a"}\x00{"id":"b"}', "not_json"),
        (b'\xef\xbb\xbf{"id":"a"}', "not_json"),
        (b'{"id":"tab\there"}', "not_json"),
        (b'{"id":"\\ud800"}', "not_json"),
        (b'{"id":01}', "not_json"),
        (b'{"n":+5}', "not_json"),
        (b'{"n":1e999}', "not_json"),
        (b'{"id":"a","id":"b"}', "not_json"),
        (b'{"id":7,"id":7}', "not_json"),
        (b'{"id":7,"n":1,"\\u006e":2}', "not_json"),
        (b'{"id":7,"n":1,"n":2,"x":' + b"[" * 900 + b"]" * 900 + b"}", "not_json"),
        (b'{"id":7,"n":1,"n":2,"x":' + b"9" * 5000 + b"}", "not_json"),
        (b'{"id":1.0}', "wrong_type (id)"),
        (b'{"id":1e3}', "wrong_type (id)"),
        (b'{"id":true}', "wrong_type (id)"),
        (b'{"id":{"a":1}}', "wrong_type (id)"),
        (b'{"n":"5"}', "wrong_type (n)"),
        (b'{"n":false}', "wrong_type (n)"),
        (b'{"tags":"x"}', "wrong_type (tags)"),
        (b'{"tags":["x",1]}', "wrong_type (tags)"),
        (b'{"tags":[1,"x"],"x":NaN}', "wrong_type (tags)"),
        (b'{"tags":[1.5]}', "wrong_type (tags)"),
        (b'{"tags":[true]}', "wrong_type (tags)"),
        (b'{"tags":[true],"x":NaN}', "wrong_type (tags)"),
        (b'{"tags":[[1]]}', "wrong_type (tags)"),
        (b'{"tags":{}}', "wrong_type (tags)"),
        (b'{"tags":{},"n":"5"}', "wrong_type (n)"),
        *(
            (b'{"v":%b}' % vector, "wrong_type (v)")
            for vector in (b"1", b'"1"', b"{}", b'[1,"2"]', b"[[1]]", b"[true]")
        ),
        (b'{"v":[1,"2"],"x":NaN}', "wrong_type (v)"),
        (b'{"v":[true],"x":NaN}', "wrong_type (v)"),
        (b'{"v":[1e999]}', "not_json"),
        (b'{"tags":{}', "not_json"),
        (b'{"n":"1","id":"a}', "not_json"),
        (b'{"n":"x","y":"\xff","z":01}', "not_json"),
        (b'{"id":"\xff"}', "invalid_utf8"),
        (b'{"tags":["\xc3\x28"]}', "invalid_utf8"),
    ],
)
def test_a_line_that_gives_none(line, reason):
    parsed = parse_lines(line + b"\n", COLUMNS)
    assert parsed.rows.num_rows == 0
    assert [(bad.offset, bad.reason, bad.content) for bad in parsed.bad] == [(0, reason, line)]


def test_each_row_and_each_bad_line_knows_where_it_stood():
    block = b'{"id":"a"}\n\n \t\nbad\n{"id":5}\r\n{"n":"x"}\n{"n":NaN,"id":"c"}\n{"id":"d"}'
    parsed = parse_lines(block, COLUMNS)
    assert parsed.rows.column("id").to_pylist() == ["a", "5", "c", "d"]
    assert parsed.offsets.tolist() == [0, 19, 39, 58]
    assert [(bad.offset, bad.reason, bad.content) for bad in parsed.bad] == [
        (15, "not_json", b"bad"),
        (29, "wrong_type (n)", b'{"n":"x"}'),
    ]
    assert parsed.blank == 2


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_a_block_with_blank_lines_is_read_at_once(newline, monkeypatch):
    # Only lines that are read one by one need it.
    monkeypatch.delattr("features.parsing.json_lines.good_lines")
    parsed = parse_lines(newline.join([b"", b'{"id":"a"}', b"", b'{"id":"b"}', b"", b""]), COLUMNS)
    assert parsed.rows.column("id").to_pylist() == ["a", "b"]
    assert parsed.offsets.tolist() == [len(newline), 3 * len(newline) + 10]
    assert (parsed.bad, parsed.blank) == ([], 3)


@pytest.mark.parametrize("odd", [b"", b',"x":NaN'])
def test_lines_of_10_mb_are_lines_like_others(odd):
    """All good, and beside broken ones; read at once, and where there is a NaN each by itself."""
    long = b"x" * 10_500_000
    good = [b'{"tags":["%b"]}' % long, b'{"id":"%b"}' % long, b'{"id":"a","other":"%b"%b}' % (long, odd)]
    broken = [(b'{"id":"%b}' % long, "not_json"), (long, "not_json"), (b'{"n":"%b"}' % long, "wrong_type (n)")]
    expected = [row(tags=[long.decode()]), row(long.decode()), row("a")]
    whole, mixed = (parse_lines(b"\n".join(lines), COLUMNS) for lines in (good, [*good, *(line for line, _ in broken)]))
    # pytest would show a difference of 10 MB letter by letter.
    assert [parsed.rows.to_pylist() == expected for parsed in (whole, mixed)] == [True, True]
    assert (whole.bad, [bad.reason for bad in mixed.bad]) == ([], [reason for _, reason in broken])
    assert [bad.content == line for bad, (line, _) in zip(mixed.bad, broken, strict=True)] == [True, True, True]


def test_a_bad_line_is_kept_as_it_stood_though_its_ids_were_made_text():
    line = b'{ "id" : 1, "tags" : ["x"] , "tags" : ["y"], "n" : "bad" } '
    assert [bad.content for bad in parse_lines(b'{"id":"a"}\n' + line, COLUMNS).bad] == [line]


@pytest.mark.parametrize("block", [b"", b"\n", b"\n\n", b"\r\n", b" \n\t"])
def test_nothing_gives_no_rows_of_the_right_columns(block):
    parsed = parse_lines(block, COLUMNS)
    assert parsed.rows.schema == COLUMNS
    assert (parsed.rows.num_rows, parsed.bad, parsed.blank) == (0, [], len(block.splitlines()))


@pytest.mark.parametrize("odd", [b'{"id":7,"x":"\xff"}', b'{"id":7,"n":NaN}', b'{"id":7}'])
def test_an_integer_id_is_taken_beside_text_as_it_is_alone(odd):
    beside = parse_lines(b'{"id":"a"}\n' + odd + b'\n{"id":"b"}\n', COLUMNS)
    assert parse_lines(odd, COLUMNS).rows.column("id").to_pylist() == ["7"]
    assert beside.rows.column("id").to_pylist() == ["a", "7", "b"]


@pytest.mark.parametrize("odd", [b'{"tags":["x"]}', b'{"tags":[null,1],"x":NaN}', b'{"tags":[1.5]}', b'{"n":"x"}'])
def test_integers_of_lists_are_taken_whatever_stands_beside_them(odd):
    beside = parse_lines(b'{"tags":[]}\n{"tags":[7,8]}\n' + odd + b'\n{"tags":[9]}', COLUMNS)
    alone = parse_lines(odd, COLUMNS)
    lists = beside.rows.column("tags").to_pylist()
    assert lists == [[], ["7", "8"], *alone.rows.column("tags").to_pylist(), ["9"]]
    assert [bad.reason for bad in beside.bad] == [bad.reason for bad in alone.bad]


@pytest.mark.parametrize("odd", [b'{"v":[1,2.5],"x":NaN}', b'{"v":["1"]}', b'{"v":[null,3]}', b'{"id":5,"v":[9]}'])
def test_a_vector_is_taken_whatever_stands_beside_it(odd):
    beside = parse_lines(b'{"v":[1,2]}\n{"v":[0.1]}\n' + odd + b'\n{"id":"a","v":[9]}', COLUMNS)
    alone = parse_lines(odd, COLUMNS)
    vectors = beside.rows.column("v").to_pylist()
    assert vectors == [[1.0, 2.0], [0.10000000149011612], *alone.rows.column("v").to_pylist(), [9.0]]
    assert [bad.reason for bad in beside.bad] == [bad.reason for bad in alone.bad]


def test_vectors_beside_a_bad_line_are_not_looked_at_one_by_one(monkeypatch):
    looked_at = []
    monkeypatch.setattr(json_lines, "screen_lines", lambda lines, _: (looked_at.extend(lines), ([], {2: "bad"}))[1])
    parsed = parse_lines(b'{"v":[1,2]}\n{"v":[0.5,null]}\n{"v":"x"}\n{"v":[3]}', COLUMNS)
    assert (parsed.rows.column("v").to_pylist(), looked_at) == ([[1.0, 2.0], [0.5, None], [3.0]], [(2, b'{"v":"x"}')])


@pytest.mark.parametrize("other", [pa.string(), pa.list_(pa.string())])
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"tags":[1]}', {"tags": ["1"]}),
        (b'{"tags":["a",1]}', "wrong_type (tags)"),
        (b'{"tags":[1.5]}', "wrong_type (tags)"),
    ],
)
def test_a_column_that_is_called_as_values_of_another_are(line, expected, other):
    parsed = parse_lines(line, pa.schema([("tags", pa.list_(pa.string())), ("tags/[]", other)]))
    found = [*parsed.rows.to_pylist(), *(bad.reason for bad in parsed.bad)]
    assert found == [expected if isinstance(expected, str) else expected | {"tags/[]": None}]


def test_a_column_of_texts_that_is_called_as_numbers_of_a_vector_are():
    parsed = parse_lines(
        b'{"v":[1],"v/[]":7,"x":NaN}', pa.schema([("v", pa.list_(pa.float32())), ("v/[]", pa.string())])
    )
    assert (parsed.rows.to_pylist(), parsed.bad) == ([{"v": [1.0], "v/[]": "7"}], [])
