"""Numbers to mean 0 and standard deviation 1, by constants that come out the same in whatever order rows are brought.

A sum of floats depends on its order. So numbers are first scaled to [0, 1] by their exact minimum and maximum, then
summed in fixed point, as integers.

N: numeric features of a spec.
"""

import math

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.spec.features import NumericFeature, Side
from features.spec.spec import Spec

RANGES = pa.schema([("key", pa.string()), ("low", pa.float64()), ("high", pa.float64())])
"""The smallest and the greatest number of a feature (`query/NAME`, `item/NAME`, `pair/NAME`), perhaps of parts."""

SUMS = pa.schema([("key", pa.string()), ("count", pa.int64()), ("sum", pa.int64()), ("sum_of_squares", pa.int64())])
"""Of numbers scaled to [0, 1], in units of 2^-32; of one part, since those of a whole may need more than 64 bits."""

LOG_STEPS = 2.0**24
"""A logarithm is rounded to 1/LOG_STEPS, since its last bit depends on where in a vector register a row stands."""

SMALLEST_DEVIATION = 2.0**-15
"""Below this a deviation is rounding alone: the number is the same everywhere, or nobody has it."""

CONSTANTS = 4
"""low, spread, mean and deviation of a feature; mean and deviation after scaling to [0, 1]."""

_ONE = 2.0**32


def numeric_keys(spec: Spec) -> list[str]:
    """The numeric features, as `query/NAME`, `item/NAME` and, of a context, `pair/NAME`."""
    return [key for key, feature in spec.features.items() if isinstance(feature, NumericFeature)]


def measure_ranges(entities: pa.Table, side_name: str, *, side: Side) -> pa.Table:
    """The range of each numeric feature that any of these entities has, schema RANGES."""
    found = [(key, float(x.min()), float(x.max())) for key, x in _numbers(entities, side_name, side=side) if len(x)]
    return pa.Table.from_pylist([dict(zip(RANGES.names, row, strict=True)) for row in found], schema=RANGES)


def merge_ranges(ranges: pa.Table) -> dict[str, tuple[float, float]]:
    """Key -> (low, high) out of the ranges of all parts."""
    merged = ranges.group_by("key", use_threads=False).aggregate([("low", "min"), ("high", "max")])
    return {row["key"]: (row["low_min"], row["high_max"]) for row in merged.to_pylist()}


def measure_sums(entities: pa.Table, side_name: str, *, side: Side, ranges: dict[str, tuple[float, float]]) -> pa.Table:
    """Adds up the scaled numbers of these entities and their squares, schema SUMS."""
    found = []
    for key, x in _numbers(entities, side_name, side=side):
        if len(x):
            low, spread = _scale(ranges[key])
            unit = (x - low) / spread
            found.append((key, len(x), _fixed_sum(unit), _fixed_sum(unit * unit)))
    return pa.Table.from_pylist([dict(zip(SUMS.names, row, strict=True)) for row in found], schema=SUMS)


def constants(keys: list[str], ranges: dict[str, tuple[float, float]], *, sums: pa.Table) -> npt.NDArray[np.float64]:
    """What normalises each feature.

    Args:
        keys: The features.
        ranges: Of those that any entity has.
        sums: Schema SUMS, of all parts.

    Returns:
        float64 [N, CONSTANTS]. Deviation 0 where no entity has the feature.
    """
    totals: dict[str, list[int]] = {key: [0, 0, 0] for key in keys}
    for row in sums.to_pylist():
        added = (row["count"], row["sum"], row["sum_of_squares"])
        totals[row["key"]] = [a + b for a, b in zip(totals[row["key"]], added, strict=True)]
    rows = []
    for key in keys:
        count, total, squares = totals[key]
        low, spread = _scale(ranges.get(key, (0.0, 0.0)))
        mean, mean_square = (value / max(count, 1) / _ONE for value in (total, squares))
        rows.append([low, spread, mean, math.sqrt(max(mean_square - mean * mean, 0.0))])
    return np.array(rows, np.float64).reshape(-1, CONSTANTS)


def distinguish(constants: npt.NDArray[np.float64], spec: Spec) -> dict[str, list[float]]:
    """What a digest of constants is made of: they normalise alike if it is the same.

    Of a logarithm, what becomes of 0 and of 1 tells all. Of other numbers it doesn't, in the float32 of the result:
    where they are large, 0 and 1 become the same, in whatever unit they are. So their constants stand here themselves.

    Args:
        constants: Of `numeric_keys`, [N, CONSTANTS].
        spec: The spec that they were learned under.
    """
    numeric = [(key, feature) for key, feature in spec.features.items() if isinstance(feature, NumericFeature)]
    ends = np.array([0.0, 1.0])
    return {
        key: (normalise(ends, feature, constants=row) if feature.log1p else row).astype(float).tolist()
        for (key, feature), row in zip(numeric, constants, strict=True)
    }


def normalise(
    numbers: npt.NDArray[np.float64], feature: NumericFeature, *, constants: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Numbers as the graph of `features.preprocessing` makes them, float32 [n].

    Args:
        numbers: Raw ones.
        feature: Theirs.
        constants: [CONSTANTS].
    """
    low, spread, mean, deviation = constants
    unit = (_as_taken(numbers, feature) - low) / spread
    scaled = (unit - mean) / deviation if deviation >= SMALLEST_DEVIATION else np.zeros_like(unit)
    return scaled.astype(np.float32)


def _as_taken(numbers: npt.NDArray[np.float64], feature: NumericFeature) -> npt.NDArray[np.float64]:
    """Raw numbers as the graph takes them: to the precision of float32, perhaps the logarithm of them."""
    x = numbers.astype(np.float32).astype(np.float64)
    return np.round(np.log1p(np.maximum(x, 0.0)) * LOG_STEPS) / LOG_STEPS if feature.log1p else x


def _scale(of: tuple[float, float]) -> tuple[float, float]:
    """Low and spread, which is 1 where all numbers are the same."""
    low, high = of
    return low, high - low if high > low else 1.0


def _numbers(entities: pa.Table, side_name: str, *, side: Side) -> list[tuple[str, npt.NDArray[np.float64]]]:
    """Key and numbers of each numeric feature, as the graph takes them."""
    found = []
    for name, feature in side.features.items():
        if isinstance(feature, NumericFeature):
            column = entities.column(f"feature/{name}").combine_chunks().drop_null()
            found.append((f"{side_name}/{name}", _as_taken(column.to_numpy(), feature)))
    return found


def _fixed_sum(unit: npt.NDArray[np.float64]) -> int:
    return int(np.round(unit * _ONE).astype(np.int64).sum())
