"""Bounds of numeric features' classes, by hand."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from features.quantile_bounds import NUMBERS, count_numbers, quantile_bounds
from features.spec.features import Side


def numbers(values, name="size"):
    counted = sorted(Counter(values).items())
    return pa.table([[name] * len(counted), [v for v, _ in counted], [c for _, c in counted]], schema=NUMBERS)


@pytest.mark.parametrize(
    ("values", "buckets", "expected"),
    [
        ([float(v) for v in range(10)], 2, [5.0]),
        ([float(v) for v in range(10)], 5, [2.0, 4.0, 6.0, 8.0]),
        ([3.0, 1.0, 2.0], 3, [2.0, 3.0]),
        ([0.0] * 97 + [1.0, 2.0, 3.0], 10, [1.0]),
        ([0.0] * 4 + [1.0] * 3 + [2.0, 3.0, 4.0], 5, [1.0, 2.0, 3.0]),
        ([1.0] + [2.0] * 8 + [3.0], 3, [2.0, 3.0]),
        ([0.0] * 5 + [1.0] * 5, 10, [1.0]),
        ([7.0], 10, []),
        ([1.0, 2.0], 10, [2.0]),
    ],
)
def test_quantile_bounds_are_exact(values, buckets, expected):
    assert quantile_bounds(numbers(values), buckets) == {"size": expected}


def test_quantile_bounds_of_parts_are_those_of_the_whole_and_features_stay_apart():
    values = np.random.default_rng(3).normal(size=999).round(2).tolist()
    whole = quantile_bounds(pa.concat_tables([numbers(values), numbers([1.0, 2.0], "b")]), 10)
    parts = [numbers(values[500:]), numbers([2.0], "b"), numbers(values[:500]), numbers([1.0], "b")]
    assert quantile_bounds(pa.concat_tables(parts), 10) == whole
    assert whole["b"] == [2.0]
    classes = np.bincount(np.searchsorted(whole["size"], values, side="right"))
    assert len(classes) == 10
    assert classes.min() > 80


def test_only_numeric_features_are_counted_as_numbers():
    side = Side.model_validate({"features": {"page": {"kind": "id"}, "size": {"kind": "numeric"}}})
    found = count_numbers(pa.table({"id": ["p", "q", "r", "s"], "feature/size": [2.0, None, 2.0, -1.0]}), side)
    assert sorted(map(tuple, (row.values() for row in found.to_pylist()))) == [("size", -1.0, 1), ("size", 2.0, 2)]
    without = Side.model_validate({"features": {"page": {"kind": "id"}}})
    assert quantile_bounds(count_numbers(pa.table({"id": ["p"]}), without), 10) == {}
