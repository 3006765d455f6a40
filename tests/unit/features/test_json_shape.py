"""Which lines the expression vouches for, and which it leaves to be looked at."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from each_type import COLUMNS

from features.parsing.json_shape import good_lines


def is_good(line, columns=COLUMNS, id=None, tags=None):
    columns = columns if id is None else columns.set(0, pa.field("id", id))
    columns = columns if tags is None else columns.set(2, pa.field("tags", tags))
    return pc.match_substring_regex(pa.array([line], pa.large_binary()), good_lines(columns)).to_pylist() == [True]


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b'{"id":"a","n":-1.5e-3,"tags":["x",null],"v":[ 1, -2.5e-3 ,null,NaN]}',
        b' { "id" : "a" , "n" : 1 } \r\n\r\n\n',
        b'{"id":null,"n":NaN,"tags":null}',
        b'{"n":-Infinity}',
        b'{"id":"\xff \\" \\u00e9 \\n }{"}',
        b'{"i":1,"idx":2,"":3,"\xc3\xa9":4,"Id":true}',
        b'{"x":{"deep":[1,"a"]},"y":[[],[null]]}',
        b'{"id":"a","id":"b"}',
    ],
)
def test_a_good_line(line):
    assert is_good(line)


@pytest.mark.parametrize(
    "line",
    [
        b"{'id':'a'}",
        b'{"id":"a",}',
        b'{"id":"a"\x00}',
        b'{"id":"a\x00"}',
        b'{"n":"\x1f"}',
        b'{"i\td":1}',
        b'{"id":"C:\\dir"}',
        b'{"id":"a" "n":1}',
        b'{"id":"u12{"id":"a"}',
        b'{"id":null,"n":None}',
        b'{"id" "a"}',
        b'{"n":True}',
        b'{"n":1x}',
        b'{"id":1}',
        b'{"id":true,"n":\x00}',
        b'{"n":"5"}',
        b'{"n":01}',
        b'{"n":1e999}',
        b'{"n":12345678901234567890}',
        b'{"tags":[1]}',
        b'{"v":1}',
        b'{"v":["1"]}',
        b'{"v":[1,true]}',
        b'{"v":[[1]]}',
        b'{"\\u0069d":1}',
        b'{"id":"\\ud83d\\ude00"}',
        b'{"x":[[[1]]]}',
        b'{"id":"a"}{"id":"b"}',
        b'{"id":"a"',
        b'{"id":"a"}\x0c',
        b"null",
        b"",
    ],
)
def test_a_line_that_has_to_be_looked_at(line):
    assert not is_good(line)


def test_a_text_column_of_integers():
    lines = [b'{"id":-7}', b'{"id":123456789012345678}', b'{"id":"7"}', b'{"id":7.0}', b'{"id":00}', b'{"id":-0}']
    lines.append(b'{"id":1234567890123456789}')
    assert [is_good(line, id=pa.int64()) for line in lines] == [True, True, False, False, False, False, False]


def test_a_column_of_lists_of_integers():
    lines = [
        b'{"tags":[-7, null,8]}',
        b'{"tags":[]}',
        b'{"tags":["7"]}',
        b'{"tags":[7.0]}',
        b'{"tags":7}',
        b'{"tags":[[7]]}',
    ]
    assert [is_good(line, tags=pa.list_(pa.int64())) for line in lines] == [True, True, False, False, False, False]


def test_a_text_column_of_truth_values():
    lines = [
        b'{"id":true}',
        b'{"id":false,"n":1}',
        b'{"id":null}',
        b'{"id":"true"}',
        b'{"id":True}',
        b'{"id":truefalse}',
    ]
    assert [is_good(line, id=pa.bool_()) for line in lines] == [True, True, True, False, False, False]


def test_names_that_an_expression_could_take_for_something_else():
    columns = pa.schema([("a.b", pa.string()), ('q"', pa.string()), ("é", pa.string()), ("", pa.string())])
    good = [b'{"a.b":"x"}', b'{"axb":1}', '{"é":"x"}'.encode(), b'{"":""}', b'{"a":1,"a.":1,"a.bc":1}']
    others = [b'{"a.b":1}', '{"é":1}'.encode(), b'{"":1}', b'{"q"":"x"}', b'{"q\\"":1}']
    assert [is_good(line, columns) for line in good + others] == [True] * 5 + [False] * 5
