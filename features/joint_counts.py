"""Joint counts of the values of item features, which is all that mutual information needs to know of a corpus.

A row with several values of a feature spreads its weight evenly over them, so a pair of values counts 1/(|a||b|).
Counts stay integers per |a||b| (`size`) until all are summed; then one division each, in sorted order, gives the same
floats whatever the order in which an engine brought them.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.hashing import hash_texts, mix
from features.spec import Feature, IdFeature, NumericFeature, Side, TextFeature
from features.tokens import ngrams, words

COUNTS = pa.schema(
    [
        ("table", pa.int32()),
        ("a", pa.uint64()),
        ("b", pa.uint64()),
        ("size", pa.int64()),
        ("count", pa.int64()),
    ]
)
"""How often the values a and b stand together in one of the tables; a and b are hashes of values, `size` is |a||b|."""

HISTOGRAM = pa.schema([("table", pa.int32()), ("count", pa.float64()), ("keys", pa.int64())])
"""How many value pairs (`keys`) of a table were counted `count` times: enough for its entropy."""

_MISSING = np.uint64(0)
_VALUE_SEED = 0x3A1


@dataclass(frozen=True)
class CountTable:
    """What is counted together: a feature alone, or a pair of features, as they are or by chance."""

    first: str
    second: str | None
    chance: bool
    """The second (or the feature alone) is permuted over the rows."""


def count_tables(features: list[str]) -> list[CountTable]:
    """The tables that mutual information needs; a table's number is its place here."""
    singles = [CountTable(name, None, chance) for chance in (False, True) for name in features]
    return singles + [CountTable(a, b, chance) for chance in (False, True) for a, b in combinations(features, 2)]


@dataclass(frozen=True)
class Values:
    """A feature's values in n rows, as hashes; a missing one is a value of its own, so each row has at least one."""

    codes: npt.NDArray[np.uint64]
    """uint64 [sum(sizes)]."""
    sizes: npt.NDArray[np.int64]
    """int64 [n]."""

    def take(self, rows: npt.NDArray[np.int64]) -> "Values":
        """The values of some rows, in their order."""
        starts = np.cumsum(self.sizes) - self.sizes
        sizes = self.sizes[rows]
        return Values(self.codes[_ranges(starts[rows], sizes)], sizes)


def count_values(
    entities: pa.Table, side: Side, *, weighting: str, seed: int, bounds: dict[str, list[float]]
) -> pa.Table:
    """Counts every feature and pair of features of some items.

    Args:
        entities: All items of a block of the corpus: blocks are permuted each for itself, so what belongs to one must
            not depend on the engine.
        side: The items' features.
        weighting: "uniform", or "train_count".
        seed: Of the permutation.
        bounds: Numeric feature -> bounds of its buckets; a feature that no item has may be left out.

    Returns:
        Schema COUNTS, a row per key.
    """
    ids = entities.column("id").combine_chunks()
    weights = np.ones(len(ids), np.int64)
    if weighting == "train_count":
        weights = entities.column("train_count").to_numpy()
    values = {name: feature_values(entities, name, feature, bounds) for name, feature in side.features.items()}
    # Each row meets the values of the next one in the order of a seeded hash: a permutation that leaves none in place.
    order = np.argsort(hash_texts(ids, seed), kind="stable")
    partner = np.empty(len(ids), np.int64)
    partner[order] = np.roll(order, -1)
    permuted = {name: found.take(partner) for name, found in values.items()}
    parts = []
    for number, table in enumerate(count_tables(list(values))):
        if table.second is None:
            alone = (permuted if table.chance else values)[table.first]
            nothing = Values(np.zeros(len(ids), np.uint64), np.ones(len(ids), np.int64))
            parts.append(_count(number, alone, nothing, weights))
        else:
            second = (permuted if table.chance else values)[table.second]
            parts.append(_count(number, values[table.first], second, weights))
    return pa.concat_tables(parts)


def feature_values(entities: pa.Table, name: str, feature: Feature, bounds: dict[str, list[float]]) -> Values:
    """The values of one feature."""
    if isinstance(feature, IdFeature):
        return _single(entities.column("id").combine_chunks())
    column = entities.column(f"feature/{name}").combine_chunks()
    if isinstance(feature, NumericFeature):
        buckets = np.searchsorted(bounds.get(name, []), column.fill_null(0).to_numpy(), side="right") + 1
        codes = mix(buckets.astype(np.uint64), np.zeros(len(buckets), np.uint64))
        return _with_missing(codes, column.is_valid().to_numpy(zero_copy_only=False))
    if isinstance(feature, TextFeature):
        column = ngrams(words(column), list(feature.ngrams))
    if not pa.types.is_list(column.type):
        return _single(column)
    sizes = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
    flat = pc.list_flatten(column)
    codes = hash_texts(flat, _VALUE_SEED)
    filled = np.maximum(sizes, 1)
    out = np.full(int(filled.sum()), _MISSING)
    out[_ranges((np.cumsum(filled) - filled)[sizes > 0], sizes[sizes > 0])] = codes
    return Values(out, filled)


def merge_counts(counts: pa.Table) -> pa.Table:
    """Adds up the counts of each key, schema COUNTS."""
    keys = ["table", "a", "b", "size"]
    merged = counts.group_by(keys, use_threads=False).aggregate([("count", "sum")])
    return merged.rename_columns(COUNTS.names).cast(COUNTS)


def histogram(counts: pa.Table) -> pa.Table:
    """Makes the histogram of the counts of keys of which all counts are here, schema HISTOGRAM."""
    merged = merge_counts(counts).sort_by([(name, "ascending") for name in ("table", "a", "b", "size")])
    if merged.num_rows == 0:
        return HISTOGRAM.empty_table()
    table, a, b, size, count = (merged.column(name).to_numpy() for name in COUNTS.names)
    new = np.ones(len(a), bool)
    new[1:] = (table[1:] != table[:-1]) | (a[1:] != a[:-1]) | (b[1:] != b[:-1])
    starts = np.flatnonzero(new)
    totals = np.add.reduceat(count / size, starts)
    return merge_histograms(pa.table([table[starts], totals, np.ones(len(starts), np.int64)], schema=HISTOGRAM))


def merge_histograms(histograms: pa.Table) -> pa.Table:
    """Adds up the histograms of parts that share no key."""
    merged = histograms.group_by(["table", "count"], use_threads=False).aggregate([("keys", "sum")])
    return merged.rename_columns(HISTOGRAM.names).cast(HISTOGRAM)


def count_numbers(entities: pa.Table, side: Side) -> pa.Table:
    """Counts each value of each numeric feature: feature, value, rows."""
    parts = []
    for name, feature in side.features.items():
        if isinstance(feature, NumericFeature):
            found = entities.column(f"feature/{name}").combine_chunks().drop_null().value_counts()
            named = pa.array([name] * len(found), pa.string())
            parts.append(pa.table([named, found.field("values"), found.field("counts")], schema=NUMBERS))
    return pa.concat_tables(parts) if parts else NUMBERS.empty_table()


NUMBERS = pa.schema([("feature", pa.string()), ("value", pa.float64()), ("rows", pa.int64())])


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


def _count(number: int, first: Values, second: Values, weights: npt.NDArray[np.int64]) -> pa.Table:
    sizes = first.sizes * second.sizes
    rows = np.repeat(np.arange(len(sizes)), sizes)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    width = second.sizes[rows]
    a = first.codes[(np.cumsum(first.sizes) - first.sizes)[rows] + within // width]
    b = second.codes[(np.cumsum(second.sizes) - second.sizes)[rows] + within % width]
    table = np.full(len(rows), number, np.int32)
    return merge_counts(pa.table([table, a, b, sizes[rows], weights[rows]], schema=COUNTS))


def _single(texts: pa.Array) -> Values:
    codes = hash_texts(pc.fill_null(texts, ""), _VALUE_SEED)
    return _with_missing(codes, texts.is_valid().to_numpy(zero_copy_only=False))


def _with_missing(codes: npt.NDArray[np.uint64], valid: npt.NDArray[np.bool_]) -> Values:
    return Values(np.where(valid, codes, _MISSING), np.ones(len(codes), np.int64))


def _ranges(starts: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """starts[0], starts[0] + 1, ... (sizes[0] of them), starts[1], ..."""
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - sizes), sizes)
