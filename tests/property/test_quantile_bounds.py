"""Laws of the classes of numbers."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.quantile_bounds import NUMBERS, quantile_bounds


@given(st.dictionaries(st.integers(0, 20), st.integers(1, 60), min_size=1), st.integers(2, 10))
def test_there_are_no_more_classes_than_wanted_and_only_a_value_alone_fills_two(rows, buckets):
    values = sorted(rows)
    table = NUMBERS.empty_table().from_pydict(
        {"feature": ["size"] * len(rows), "value": map(float, values), "rows": [rows[v] for v in values]}, NUMBERS
    )
    bounds = quantile_bounds(table, buckets)["size"]
    assert bounds == sorted(set(bounds))
    assert len(bounds) < buckets
    classes = np.searchsorted(bounds, values, side="right").tolist()
    filled = Counter()
    for value, place in zip(values, classes, strict=True):
        filled[place] += rows[value]
    for place, count in filled.items():
        assert classes.count(place) == 1 or count * buckets < 2 * sum(rows.values())
