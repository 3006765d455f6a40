"""Laws of the raw logs' writers and parsers."""

import json

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.raw_logs import json_columns
from pipelines.raw_logs.synthetic_catalogue import word
from pipelines.raw_logs.wikispeedia import steps_of_path

plain = st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=8)
rows = st.lists(st.tuples(plain, st.integers(-(2**62), 2**62), st.lists(plain, min_size=1, max_size=3)), min_size=1)


@settings(deadline=None)  # the first call loads pyarrow.compute
@given(rows)
def test_columns_make_the_same_lines_as_json(rows):
    names, numbers, lists = zip(*rows, strict=True)
    made = json_columns.objects(
        {
            "name": json_columns.text(pa.array(names, pa.string())),
            "number": json_columns.number(np.array(numbers, dtype=np.int64)),
            "list": json_columns.text_lists(pa.array(lists, pa.list_(pa.string()))),
        }
    )
    expected = [{"name": name, "number": number, "list": values} for name, number, values in rows]
    assert json_columns.lines(made) == b"".join(
        json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in expected
    )


@given(rows, st.data())
def test_a_slice_makes_its_own_lines_alone(rows, data):
    names = pa.array([name for name, _, _ in rows], pa.string())
    start = data.draw(st.integers(0, len(rows) - 1))
    expected = b"".join(name.encode() + b"\n" for name, _, _ in rows[start:])
    assert json_columns.lines(names[start:]) == expected


@given(st.lists(st.sampled_from(["A", "B", "C", "<"]), max_size=12))
def test_a_path_has_a_step_for_each_page_but_the_first_and_each_starts_on_a_page_seen(pages):
    steps, back_at_start = steps_of_path(pages)
    forward = [page for page in pages if page != "<"]
    assert [target for _, target in steps] == forward[1:]
    seen = forward[:1]
    for source, target in steps:
        assert source in seen
        seen.append(target)
    assert back_at_start <= pages.count("<")


@given(st.lists(st.sampled_from(["A", "B", "C"]), min_size=1, max_size=8), st.sampled_from(["A", "D"]))
def test_going_back_all_the_way_starts_anew_at_the_first_page(pages, after):
    there_and_back = [*pages, *["<"] * (len(pages) - 1)]
    steps, back_at_start = steps_of_path([*there_and_back, after])
    assert steps[-1] == (pages[0], after)
    assert back_at_start == 0


def test_words_differ_where_their_numbers_do():
    numbers = [*range(200_000), *range(10**7 - 1_000, 10**7 + 1_000)]
    assert len({word(number) for number in numbers}) == len(numbers)
