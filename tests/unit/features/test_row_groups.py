"""Rows that are equal in some columns are put together, nulls being equal, and each group is summed up."""

from collections import defaultdict

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.row_groups import group_rows

LOG = pa.table(
    {
        "who": ["a", None, "a", "b", "a", None],
        "when": pa.array([5, 1, 5, 5, None, 1], pa.timestamp("us")),
        "lines": [1, 2, 4, 8, 16, 32],
    }
)


def summed(table, keys):
    groups = group_rows(table, keys)
    columns = (groups.some_row, groups.sum(table["lines"]), groups.min(table["when"]), groups.max(table["when"]))
    rows, sums, least, most = (column.cast(pa.int64()).to_pylist() for column in columns)
    names = table.select(keys).take(pa.array(rows, pa.int64())).to_pylist()
    return {tuple(key.values()): found for key, found in zip(names, zip(sums, least, most, strict=True), strict=True)}


def test_groups_are_summed_up_and_null_is_a_value_that_is_neither_least_nor_most():
    assert summed(LOG, ["who"]) == {("a",): (21, 5, 5), (None,): (34, 1, 1), ("b",): (8, 5, 5)}
    assert sorted(summed(LOG, ["when"]).values()) == [(13, 5, 5), (16, None, None), (34, 1, 1)]


@pytest.mark.parametrize("as_dictionary", [False, True])
def test_a_text_may_come_in_a_dictionary_and_each_chunk_have_its_own(as_dictionary):
    chunks = [["b", "a"], ["a", "c", "b"], []]
    arrays = [pa.array(chunk, pa.string()) for chunk in chunks]
    who = pa.chunked_array([array.dictionary_encode() for array in arrays] if as_dictionary else arrays)
    groups = group_rows(pa.table({"who": who}), ["who"])
    assert sorted(groups.sum(pa.chunked_array([[1, 2, 4, 8, 16]])).to_pylist()) == [6, 8, 17]


def test_what_is_known_of_a_group_comes_back_to_its_rows():
    groups = group_rows(LOG, ["who"])
    assert groups.spread(groups.sum(LOG["lines"])).to_pylist() == [21, 34, 21, 8, 21, 34]


def test_no_rows_have_no_groups():
    groups = group_rows(LOG.slice(0, 0), ["who", "when"])
    found = (
        groups.some_row,
        groups.sum(LOG["lines"][:0]),
        groups.min(LOG["when"][:0]),
        groups.spread(pa.array([1])[:0]),
    )
    assert [len(column) for column in found] == [0, 0, 0, 0]


def test_columns_that_do_not_fit_one_number_are_not_made_one():
    # As one number of 64 bits, "e" at 0 and "a" at 8 would be 4 * (2**62 + 2) + 1 and 9: the same.
    rows = pa.table({"who": list("abcdea"), "when": [2**62, 0, 0, 0, 0, 8]})
    assert len(group_rows(rows, ["who", "when"]).starts) == 6


words = st.none() | st.sampled_from("ab")
# The far ones leave no room to make one number of two columns.
times = st.none() | st.integers(0, 2) | st.sampled_from([-(2**61), 2**61])


@given(st.lists(st.tuples(words, times, words, times, st.integers(-9, 0)), max_size=30))
def test_groups_are_those_of_a_plain_loop(rows):
    names, types = ["who", "when", "what", "then"], [pa.string(), pa.timestamp("us"), pa.string(), pa.int64()]
    columns = list(zip(*rows, strict=True)) or [()] * 5
    table = pa.table(
        [pa.array(column, of) for column, of in zip(columns, [*types, pa.int64()], strict=True)], [*names, "n"]
    )
    expected = defaultdict(list)
    for *key, n in rows:
        expected[tuple(key)].append(n)
    groups = group_rows(table, names)
    keys = [[rows[row][place] for place in range(4)] for row in groups.some_row.to_pylist()]
    found = zip(*(of(table["n"]).to_pylist() for of in (groups.sum, groups.min, groups.max)), strict=True)
    assert len(keys) == len(expected)
    assert {tuple(key): what for key, what in zip(keys, found, strict=True)} == {
        key: (sum(values), min(values), max(values)) for key, values in expected.items()
    }
