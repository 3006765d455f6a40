"""Quantile bounds, which make classes of a numeric feature: exact, out of how often each value occurs."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.spec.features import NumericFeature, Side
from features.sums import sum_counts

NUMBERS = pa.schema([("feature", pa.string()), ("value", pa.float64()), ("rows", pa.int64())])
"""How many rows hold each value of each numeric feature, perhaps in parts."""


def count_numbers(entities: pa.Table, side: Side) -> pa.Table:
    """Counts each value of each numeric feature: feature, value, rows."""
    parts = []
    for name, feature in side.features.items():
        if isinstance(feature, NumericFeature):
            found = entities.column(f"feature/{name}").combine_chunks().drop_null().value_counts()
            named = pa.array([name] * len(found), pa.string())
            parts.append(pa.table([named, found.field("values"), found.field("counts")], schema=NUMBERS))
    return pa.concat_tables(parts) if parts else NUMBERS.empty_table()


def quantile_bounds(numbers: pa.Table, buckets: int) -> dict[str, list[float]]:
    """Bounds that cut each numeric feature into classes of about equally many items, exactly.

    A value that fills several classes becomes one of its own, without the values above it.

    Args:
        numbers: Schema NUMBERS, perhaps of parts.
        buckets: Classes wanted, and never exceeded; fewer where a value alone fills several.

    Returns:
        Feature -> rising bounds; a value belongs to the class after the last bound not above it.
    """
    merged = sum_counts(numbers, "feature", "value").sort_by("value")
    bounds = {}
    for name in pc.unique(merged.column("feature")).to_pylist():
        mine = merged.filter(pc.equal(merged.column("feature"), name))
        values = mine.column("value").to_numpy()
        places = quantile_places(mine.column("rows").to_numpy(), buckets)
        behind = places[1:][places[1:] == places[:-1]] + 1
        bounds[name] = [float(values[place]) for place in np.union1d(places, behind) if 0 < place < len(values)]
    return bounds


def quantile_places(rows: npt.NDArray[np.int64], buckets: int) -> npt.NDArray[np.int64]:
    """In which of some rising values each quantile lies.

    Args:
        rows: How many rows hold each value, int64 [n].
        buckets: How many quantiles: 0, 1/buckets, 2/buckets and so on.

    Returns:
        Rising, int64 [buckets]; the first is 0.
    """
    below = np.cumsum(rows)
    return np.searchsorted(below * buckets, np.arange(buckets) * below[-1], side="right")
