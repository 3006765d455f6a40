"""A user's latest lines: by hand, and of the latest of any parts."""

from datetime import datetime, timedelta

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from features.interactions import LINES
from features.latest_lines import are_beyond_latest

START = datetime(2024, 1, 1)


def table(log):
    rows = [
        {"query_id": user, "item_id": item, "timestamp": START + timedelta(seconds=at), "place": place}
        for place, (user, item, at) in enumerate(log)
    ]
    return pa.Table.from_pylist(rows, LINES)


def latest(lines, most):
    return lines.filter(pa.array(~are_beyond_latest(lines, most)))


def test_the_latest_lines_of_each_user_are_kept():
    log = [("bot", "a", 5), ("u", "a", 1), ("bot", "b", 7), ("bot", "c", 6), ("u", "b", 2), ("bot", "d", 1)]
    assert are_beyond_latest(table(log), 2).tolist() == [True, False, False, False, False, True]
    assert are_beyond_latest(table(log), 4).tolist() == [False] * 6
    assert are_beyond_latest(table([]), 1).tolist() == []


def test_at_one_time_the_item_decides_wherever_its_line_stands():
    items = [("bot", item, 0) for item in "abcd"]
    kept = {tuple(sorted(latest(table(log), 2)["item_id"].to_pylist())) for log in (items, items[::-1])}
    assert kept == {("c", "d")}
    # Of equal lines the first.
    assert are_beyond_latest(table([("bot", "a", 0)] * 3), 2).tolist() == [False, False, True]


lines = st.lists(st.tuples(st.sampled_from("uvw"), st.sampled_from("abc"), st.integers(0, 3)), max_size=30)


@given(lines, st.integers(1, 5), st.integers(0, 30))
def test_the_latest_of_parts_are_the_latest_of_the_whole(log, most, cut):
    whole = table(log)
    parts = pa.concat_tables([latest(whole.slice(cut), most), latest(whole.slice(0, cut), most)])
    assert latest(parts, most).sort_by("place") == latest(whole, most)
