"""A user's lines as examples, by hand."""

from datetime import datetime, timedelta
from itertools import permutations

import numpy as np
import pyarrow as pa
import pytest

from features.interactions import LINES
from features.pairs import cap_pairs, one_by_one
from features.raw_features import with_features
from features.sessions import session_pairs
from features.spec.session import Session
from features.spec.split import Split

START = datetime(2024, 1, 1)
USER = [("a", 0), ("b", 10), ("c", 10), ("a", 25), ("d", 100), ("e", 130)]


def histories(session, lines=USER):
    """(second, next item) -> history."""
    rows = [
        {"query_id": user, "item_id": item, "event": "play", "timestamp": START + timedelta(seconds=at), "place": n}
        for user in ("u", "v")
        for n, (item, at) in enumerate(lines)
    ]
    merged = session_pairs(
        one_by_one(pa.Table.from_pylist(rows, schema=LINES)),
        session=session,
        split=Split(method="query_hash", validation=0, test=0),
        bounds=None,
        drop_duplicates=True,
    )
    of_u, of_v = (
        {
            ((p["last"] - START).seconds, p["item_id"]): "".join(p["history"])
            for p in merged.rows.to_pylist()
            if p["query_id"] == user
        }
        for user in "uv"
    )
    assert of_u == of_v
    assert merged.filtered["short_history"] == 2 * (len(lines) - len(of_u))
    return of_u


def test_a_history_is_all_that_was_strictly_before():
    found = histories(Session())
    # b and c share a time: neither knows of the other. Among themselves a hash orders them.
    assert found == {(10, "b"): "a", (10, "c"): "a", (25, "a"): "abc", (100, "d"): "abca", (130, "e"): "abcad"}


def test_items_at_one_time_whose_hashes_are_equal_stand_by_their_ids(monkeypatch):
    monkeypatch.setattr("features.sessions.hash_texts", lambda ids, _seed: np.zeros(len(ids), np.uint64))
    for two in (["b", "c"], ["c", "b"]):
        assert histories(Session(), [("a", 0), *((item, 10) for item in two), ("a", 25)])[25, "a"] == "abc"


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        # The latest two.
        (Session(max_history=2), {(25, "a"): "bc", (100, "d"): "ca", (130, "e"): "ad"}),
        # 75 seconds pass before d: with a gap of 74 it begins a session, with one of 75 it doesn't.
        (Session(gap=74), {(25, "a"): "abc", (130, "e"): "d"}),
        (Session(gap=75), {(25, "a"): "abc", (100, "d"): "abca", (130, "e"): "abcad"}),
        # 90 seconds before d is just the time of b and c.
        (Session(window=90), {(25, "a"): "abc", (100, "d"): "bca", (130, "e"): "d"}),
        (Session(window=89), {(25, "a"): "abc", (100, "d"): "a", (130, "e"): "d"}),
        (Session(min_history=4), {(100, "d"): "abca", (130, "e"): "abcad"}),
    ],
)
def test_it_reaches_no_further_than_the_spec_says(session, expected):
    found = histories(session)
    assert {key: history for key, history in found.items() if key[0] > 10} == expected


def test_without_min_history_the_first_line_is_an_example_too():
    assert histories(Session(min_history=0))[0, "a"] == ""


def test_a_split_by_user_leaves_no_user_in_two():
    split = Split(method="query_hash", validation=0.3, test=0.3)
    rows = [
        {
            "query_id": f"u{n % 200}",
            "item_id": "a",
            "event": "play",
            "timestamp": START + timedelta(seconds=n),
            "place": n,
        }
        for n in range(600)
    ]
    pairs = session_pairs(
        one_by_one(pa.Table.from_pylist(rows, schema=LINES)),
        session=Session(),
        split=split,
        bounds=None,
        drop_duplicates=True,
    ).rows
    splits = pairs.group_by("query_id").aggregate([("split", "count_distinct"), ("split", "min")])
    assert splits.column("split_count_distinct").to_pylist() == [1] * 200
    shares = [splits.column("split_min").to_pylist().count(code) / 200 for code in range(3)]
    assert shares == pytest.approx([0.4, 0.3, 0.3], abs=0.1)


def test_an_example_has_the_context_of_its_own_line_and_of_equal_ones_the_first():
    context = {
        "features": {"device": {"kind": "categorical"}, "tags": {"kind": "multivalued"}, "at": {"kind": "numeric"}}
    }
    session = Session.model_validate({"context": context})
    rows = [
        {"query_id": "u", "item_id": item, "event": "play", "timestamp": START + timedelta(seconds=at), "place": place}
        | {"feature/device": device, "feature/tags": tags, "feature/at": number}
        for item, at, place, device, tags, number in [
            ("a", 0, 7, "not shown", [], 1.0),
            ("b", 10, 5, "second", ["x"], None),
            ("b", 10, 3, None, ["y", "z"], 0.5),
            ("c", 10, 4, "tv", None, 2.5),
        ]
    ]
    lines = pa.Table.from_pylist(rows, schema=with_features(LINES, session.context))
    merged = session_pairs(
        one_by_one(lines),
        session=session,
        split=Split(method="query_hash", validation=0, test=0),
        bounds=None,
        drop_duplicates=True,
    )
    said = ("item_id", "feature/device", "feature/tags", "feature/at")
    assert sorted(tuple(p[name] for name in said) for p in merged.rows.to_pylist()) == [
        ("b", None, ["y", "z"], 0.5),
        ("c", "tv", None, 2.5),
    ]


def test_of_lines_that_differ_in_context_alone_neither_order_nor_what_the_cap_leaves_is_chance():
    session = Session.model_validate({"min_history": 0, "context": {"features": {"device": {"kind": "categorical"}}}})
    split = Split(method="query_hash", validation=0, test=0, max_train_pairs_per_query=1)
    line = {"query_id": "u", "item_id": "a", "event": "play", "timestamp": START}
    rows = [line | {"place": place, "feature/device": device} for place, device in enumerate(["tv", "phone", "car"])]
    shown, left = set(), set()
    for order in permutations(rows):
        lines = one_by_one(pa.Table.from_pylist(list(order), schema=with_features(LINES, session.context)))
        pairs = session_pairs(lines, session=session, split=split, bounds=None, drop_duplicates=False).rows
        shown.add(tuple(pairs.column("feature/device").to_pylist()))
        left |= set(cap_pairs(pairs, split).rows.column("feature/device").to_pylist())
        left |= set(cap_pairs(pairs.take([2, 1, 0]), split).rows.column("feature/device").to_pylist())
    assert shown == {("tv", "phone", "car")}
    assert len(left) == 1
