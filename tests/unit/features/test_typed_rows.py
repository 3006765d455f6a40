"""Rows with types of their own: what is taken, what is refused, and the types of times."""

from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pytest
from each_type import COLUMNS, row

from features.parsing.typed_rows import parse_rows


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"id": "a", "n": 1.5, "tags": ["x", None]}, row("a", 1.5, ["x", None])),
        ({}, row()),
        ({"id": None, "n": None, "tags": None, "other": object()}, row()),
        ({"id": 42}, row("42")),
        ({"id": 2**70}, row("1180591620717411303424")),
        ({"id": UUID(int=1)}, row("00000000-0000-0000-0000-000000000001")),
        ({"n": 2**53 + 1}, row(n=9007199254740992.0)),
        ({"n": Decimal("0.25")}, row(n=0.25)),
        ({"tags": []}, row(tags=[])),
        ({"tags": [7, None]}, row(tags=["7", None])),
        ({"v": [0.5, None, 1e39]}, row(v=[0.5, None, float("inf")])),
        ({"v": [2**25 + 1, Decimal("0.25"), None, 0.1]}, row(v=[33554432.0, 0.25, None, 0.10000000149011612])),
        ({"v": []}, row(v=[])),
    ],
)
def test_a_row_that_is_taken(given, expected):
    parsed = parse_rows([given], COLUMNS, time=None)
    assert (parsed.rows.to_pylist(), parsed.offsets.tolist(), parsed.bad) == ([expected], [0], [])


@pytest.mark.parametrize(
    "given",
    [
        *({"id": True}, {"id": 1.0}, {"id": b"a"}, {"id": ["a"]}, {"id": {"a": 1}}, {"id": datetime(2024, 1, 1)}),
        *(
            {"n": "1"},
            {"n": False},
            {"n": date(2024, 1, 1)},
            {"tags": "x"},
            {"tags": ["x", 1]},
            {"tags": [True]},
            {"tags": {"x": 1}},
            {"v": 1.0},
            {"v": "1"},
            {"v": [1.0, "2"]},
            {"v": [1.0, True]},
            {"v": [10**400]},
        ),
    ],
)
def test_a_row_that_is_refused(given):
    parsed = parse_rows([{"id": "a"}, given, {"id": "b"}], COLUMNS, time=None)
    assert parsed.rows.column("id").to_pylist() == ["a", "b"]
    assert parsed.offsets.tolist() == [0, 2]
    assert [(bad.offset, bad.reason) for bad in parsed.bad] == [(1, f"wrong_type ({next(iter(given))})")]


def test_of_several_columns_the_first_one_is_named():
    parsed = parse_rows([{"tags": "x", "n": "1"}], COLUMNS, time=None)
    assert [bad.reason for bad in parsed.bad] == ["wrong_type (n)"]


def test_texts_with_lone_surrogates_are_refused():
    parsed = parse_rows(
        [{"id": "a"}, {"id": "\udcff"}, {"id": "b", "tags": ["x", None, "\ud800"]}, {}], COLUMNS, time=None
    )
    assert parsed.rows.to_pylist() == [row("a"), row()]
    assert [(bad.offset, bad.reason) for bad in parsed.bad] == [(1, "invalid_utf8"), (2, "invalid_utf8")]
    assert parsed.bad[0].content == b'{"id": "\\udcff", "n": null, "tags": null, "v": null}'


def test_what_is_no_time_among_times_is_refused_alone():
    at = datetime(2024, 1, 1, tzinfo=UTC)
    parsed = parse_rows([{"n": at}, {"n": "2 ** 62"}, {"n": None}, {"n": 5}], COLUMNS, time="n")
    assert parsed.rows.column("n").to_pylist() == [at, None]
    assert [(bad.offset, bad.reason) for bad in parsed.bad] == [(1, "wrong_type (n)"), (3, "wrong_type (n)")]


def test_a_refused_row_is_shown_as_json_of_the_columns_that_are_read():
    parsed = parse_rows([{"id": b"\xff", "n": 1, "other": "secret"}], COLUMNS, time=None)
    assert parsed.bad[0].content == b'{"id": "b\'\\\\xff\'", "n": 1, "tags": null, "v": null}'


@pytest.mark.parametrize(("zone", "kind"), [(None, pa.timestamp("us")), (UTC, pa.timestamp("us", "UTC"))])
def test_times_keep_their_type_where_the_time_is_expected(zone, kind):
    at = datetime(2024, 1, 1, 12, 0, 0, 5, zone)
    parsed = parse_rows([{"n": None}, {"n": at}], COLUMNS, time="n")
    assert parsed.rows.column("n").type == kind
    assert parsed.rows.column("n").cast(pa.int64()).to_pylist() == [None, 1704110400000005]
    assert [bad.reason for bad in parse_rows([{"n": at}], COLUMNS, time=None).bad] == ["wrong_type (n)"]
