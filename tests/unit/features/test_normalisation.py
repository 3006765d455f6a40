"""The constants that normalise numbers, by hand and whatever the order."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_specs import small_spec

from features.normalisation import (
    RANGES,
    SUMS,
    constants,
    distinguish,
    measure_ranges,
    measure_sums,
    merge_ranges,
    numeric_keys,
)

ITEM = {"size": "numeric", "logged": {"kind": "numeric", "log1p": True}, "page": "id"}
SPEC = small_spec(sources={"queries": {"path": "x"}}, query={"age": "numeric"}, item=ITEM)
SIDE = SPEC.item


def entities(size, logged):
    return pa.table({"feature/size": pa.array(size, pa.float64()), "feature/logged": pa.array(logged, pa.float64())})


def test_the_numbers_of_both_sides_are_named():
    assert numeric_keys(SPEC) == ["query/age", "item/size", "item/logged"]


def test_constants_by_hand():
    parts = [entities([1.0, None, 1.5], [None, None, -3.0]), entities([1.125, 1.375], [None, 0.0])]
    ranges = merge_ranges(pa.concat_tables([measure_ranges(part, "item", side=SIDE) for part in parts]))
    assert ranges == {"item/size": (1.0, 1.5), "item/logged": (0.0, 0.0)}
    sums = pa.concat_tables([measure_sums(part, "item", side=SIDE, ranges=ranges) for part in parts])
    # Scaled to [0, 1]: 0, 1, 1/4, 3/4, of mean 1/2 and mean square (1 + 1/16 + 9/16) / 4 = 13/32.
    assert constants(["item/size", "item/logged", "item/none"], ranges, sums=sums).tolist() == [
        [1.0, 0.5, 0.5, (13 / 32 - 0.25) ** 0.5],
        [0.0, 1.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0],
    ]


def test_large_numbers_in_another_unit_are_told_apart():
    def learned(unit):
        part = entities([1e8 * unit, 9e8 * unit], [1.0 * unit, 3.0 * unit])
        ranges = measure_ranges(part, "item", side=SIDE)
        sums = measure_sums(part, "item", side=SIDE, ranges=merge_ranges(ranges))
        return constants(numeric_keys(SPEC), merge_ranges(ranges), sums=sums)

    found = [distinguish(learned(unit), SPEC) for unit in (1, 2, 1000)]
    # The logarithms, ln 2 and 2 ln 2, are as far from each other as that of 1 is from that of 0, and are -1 and 1 then.
    assert found[0] == {
        "query/age": [0.0, 1.0, 0.0, 0.0],
        "item/size": [1e8, 8e8, 0.5, 0.5],
        "item/logged": [pytest.approx(-3), pytest.approx(-1)],
    }
    assert len({repr(one["item/size"]) for one in found}) == len({repr(one["item/logged"]) for one in found}) == 3


def test_numbers_are_taken_to_the_precision_of_float32():
    ranges = merge_ranges(measure_ranges(entities([0.1], [None]), "item", side=SIDE))
    assert ranges == {"item/size": (0.10000000149011612, 0.10000000149011612)}


def test_logarithms_are_taken_of_what_is_not_negative_in_steps_of_2_to_the_minus_24():
    low, high = merge_ranges(measure_ranges(entities([None] * 2, [-7.0, 20.0]), "item", side=SIDE))["item/logged"]
    assert low == 0.0
    # 3.044522437723423 * 2**24 is 51078610.55; float32 has every fourth of these steps.
    assert high * 2**24 == 51_078_611


def test_sums_are_whole_units_of_2_to_the_minus_32():
    ranges = {"item/size": (0.0, 3.0), "item/logged": (0.0, 1.0)}
    found = measure_sums(entities([0.0, 2.0, 3.0], [None] * 3), "item", side=SIDE, ranges=ranges)
    # 2/3 is 2863311530.67 of them, its square 1908874353.78.
    assert found.to_pylist() == [
        {"key": "item/size", "count": 3, "sum": 2_863_311_531 + 2**32, "sum_of_squares": 1_908_874_354 + 2**32}
    ]


numbers = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False) | st.none(), min_size=1, max_size=30)


@given(numbers, st.randoms(use_true_random=False), st.integers(1, 5))
def test_neither_order_nor_parts_change_a_bit(values, random, size):
    def learn(rows):
        parts = [
            entities(rows[start : start + size], rows[start : start + size]) for start in range(0, len(rows), size)
        ]
        ranges = merge_ranges(
            pa.concat_tables([RANGES.empty_table(), *(measure_ranges(p, "item", side=SIDE) for p in parts)])
        )
        sums = pa.concat_tables(
            [SUMS.empty_table(), *(measure_sums(p, "item", side=SIDE, ranges=ranges) for p in parts)]
        )
        return constants(["item/size", "item/logged"], ranges, sums=sums)

    found = learn(values)
    shuffled = list(values)
    random.shuffle(shuffled)
    size = len(values)
    np.testing.assert_array_equal(learn(shuffled), found)
    present = np.array([value for value in values if value is not None], np.float64)
    if len(present) and present.max() > present.min():
        low, spread, mean, deviation = found[0]
        unit = (present - low) / spread
        np.testing.assert_allclose([mean, deviation], [unit.mean(), unit.std()], atol=2.0**-15)
