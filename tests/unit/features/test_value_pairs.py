"""Pairs of values, against a plain count of them."""

from collections import Counter
from itertools import chain, pairwise, product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from peak_memory import with_peak

from features.item_values import Values
from features.value_pairs import count_value_pairs

ROW = st.tuples(
    st.lists(st.integers(0, 3), min_size=1, max_size=4),
    st.lists(st.integers(0, 5), min_size=1, max_size=4),
    st.integers(0, 3),
)


def values(rows: list[list[int]], distinct: int) -> Values:
    return Values(
        np.arange(distinct, dtype=np.uint64),
        np.concatenate(rows).astype(np.int64),
        np.array([len(row) for row in rows]),
    )


@given(st.lists(ROW, min_size=1, max_size=12), st.booleans(), st.sampled_from([1, 3, 7, 1000]))
@example(rows=[([0, 1], [0], 1), ([0], [0], 1)], weighted=False, at_once=3)  # as many as a part takes
def test_pairs_are_counted_by_cell_and_size_however_many_at_once(
    rows: list[tuple[list[int], list[int], int]], weighted: bool, at_once: int
) -> None:
    expected = Counter[tuple[int, int]]()
    for first, second, weight in rows:
        for a, b in product(first, second):
            expected[a * 6 + b, len(first) * len(second)] += weight if weighted else 1
    parts = [
        list(zip(*(column.tolist() for column in part), strict=True))
        for part in count_value_pairs(
            values([first for first, _, _ in rows], 4),
            values([second for _, second, _ in rows], 6),
            weights=np.array([weight for _, _, weight in rows]) if weighted else None,
            at_once=at_once,
        )
    ]
    assert all(part == sorted(part) and all(count for *_, count in part) for part in parts)
    # Parts follow each other by the first feature's value, which alone is in two.
    assert all(one[-1][0] // 6 <= next_[0][0] // 6 for one, next_ in pairwise(filter(None, parts)))
    found = Counter[tuple[int, int]]()
    for cell, size, count in chain(*parts):
        found[cell, size] += count
    assert found == Counter({key: count for key, count in expected.items() if count})


@pytest.mark.parametrize("rows", [[list(range(60))] * 500, [list(range(1340))]], ids=["many rows", "one heavy row"])
def test_what_is_in_memory_grows_neither_with_the_rows_nor_with_what_a_row_has(rows: list[list[int]]) -> None:
    many = values(rows, len(rows[0]))  # 1.8 M pairs, of some 60 bytes
    parts = count_value_pairs(many, many, weights=None, at_once=36_000)
    pairs, peak = with_peak(lambda: sum(int(part.counts.sum()) for part in parts))
    assert pairs == sum(len(row) ** 2 for row in rows)
    assert peak < 10e6
