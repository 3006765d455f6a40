"""Quantile bounds, which make classes of a numeric feature: exact, out of how often each value occurs."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.spec_features import NumericFeature, Side

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

    Args:
        numbers: Schema NUMBERS, perhaps of parts.
        buckets: Classes wanted; fewer where a value alone fills several.

    Returns:
        Feature -> rising bounds; a value belongs to the class after the last bound not above it.
    """
    merged = numbers.group_by(["feature", "value"], use_threads=False).aggregate([("rows", "sum")])
    merged = merged.sort_by([("feature", "ascending"), ("value", "ascending")])
    bounds = {}
    for name in pc.unique(merged.column("feature")).to_pylist():
        mine = merged.filter(pc.equal(merged.column("feature"), name))
        values, below = mine.column("value").to_numpy(), np.cumsum(mine.column("rows_sum").to_numpy())
        wanted = np.arange(1, buckets) * below[-1]
        places = np.searchsorted(below * buckets, wanted, side="right")
        bounds[name] = sorted({float(values[place]) for place in places if place < len(values) and place > 0})
    return bounds
