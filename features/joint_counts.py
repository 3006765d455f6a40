"""Joint counts of the values of item features, which is all that mutual information needs to know of a corpus.

A row with several values of a feature spreads its weight evenly over them, so a pair of values counts 1/(|a||b|).
Counts stay integers per |a||b| (`size`) until all are summed; then one division each, in sorted order, gives the same
floats whatever the order in which an engine brought them.

A value is its 64-bit hash, and so is a pair of values, its key: sorting keys is faster than grouping by columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.hashing import hash_texts, mix
from features.spec import Feature, IdFeature, NumericFeature, Side, TextFeature
from features.tokens import ngrams, words

COUNTS = pa.schema([("table", pa.int32()), ("key", pa.uint64()), ("size", pa.int64()), ("count", pa.int64())])
"""How often a pair of values stands in one of the tables, as a value of `size` = |a||b|. Rows lie by rising table, then
rising key; a key may have several rows."""

HISTOGRAM = pa.schema([("table", pa.int32()), ("count", pa.float64()), ("keys", pa.int64())])
"""How many value pairs (`keys`) of a table were counted `count` times: enough for its entropy."""

_MISSING = np.uint64(0)
_VALUE_SEED = 0x3A1

_Keys = npt.NDArray[np.uint64]
_Integers = npt.NDArray[np.int64]


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


@dataclass(frozen=True)
class Block:
    """What is counted of the n items of a block of the corpus."""

    values: dict[str, Values]
    permuted: dict[str, Values]
    """Each row's are those of another row of the block."""
    weights: _Integers | None
    """int64 [n]; None: every item counts once."""
    pairs: int
    """Pairs of values, as they are and about as many by chance: so many rows are counted if no two are equal."""


def read_block(entities: pa.Table, side: Side, *, weighting: str, seed: int, bounds: dict[str, list[float]]) -> Block:
    """Takes the values of items apart.

    Args:
        entities: All items of a block of the corpus: blocks are permuted each for itself, so what belongs to one must
            not depend on the engine.
        side: The items' features.
        weighting: "uniform", or "train_count".
        seed: Of the permutation.
        bounds: Numeric feature -> bounds of its buckets; a feature that no item has may be left out.
    """
    ids = entities.column("id").combine_chunks()
    values = {name: feature_values(entities, name, feature, bounds) for name, feature in side.features.items()}
    # Each row meets the values of the next one in the order of a seeded hash: a permutation that leaves none in place.
    order = np.argsort(hash_texts(ids, seed), kind="stable")
    partner = np.empty(len(ids), np.int64)
    partner[order] = np.roll(order, -1)
    permuted = {name: found.take(partner) for name, found in values.items()}
    weights = entities.column("train_count").to_numpy() if weighting == "train_count" else None
    each = np.array([found.sizes for found in values.values()])
    pairs = int((each.sum(0) ** 2 - (each**2).sum(0)).sum())
    return Block(values, permuted, weights, pairs)


def count_values(blocks: Sequence[Block]) -> pa.Table:
    """Counts every feature and pair of features of some blocks, schema COUNTS."""
    values = {name: _concat([block.values[name] for block in blocks]) for name in blocks[0].values}
    permuted = {name: _concat([block.permuted[name] for block in blocks]) for name in blocks[0].values}
    weighed = [block.weights for block in blocks if block.weights is not None]
    weights = np.concatenate(weighed) if weighed else None
    coded = [{name: _code(found) for name, found in of.items()} for of in (values, permuted)]
    parts = []
    for number, table in enumerate(count_tables(list(values))):
        others = permuted if table.chance else values
        if table.second is None:
            keys, sizes, rows = _spread(others[table.first])
            found = _count(keys, sizes, None if weights is None else weights[rows])
        else:
            dense = weights is None and _count_densely(coded[0][table.first], coded[table.chance][table.second])
            if dense:
                found = dense
            else:
                keys, sizes, rows = _pair(values[table.first], others[table.second])
                found = _count(keys, sizes, None if weights is None else weights[rows])
        parts.append(pa.table([np.full(len(found[0]), number, np.int32), *found], schema=COUNTS))
    return pa.concat_tables(parts)


def split_by_key(counts: pa.Table, shards: int) -> list[pa.Table]:
    """Takes counts apart so that all rows of a key lie in one shard, whichever counts they are of.

    Args:
        counts: Schema COUNTS, in its order.
        shards: How many parts to make, by equal ranges of the key.
    """
    tables = counts.column("table").to_numpy()
    keys = counts.column("key").to_numpy()
    bounds = [np.uint64(shard * (1 << 64) // shards) for shard in range(1, shards)]
    parts: list[list[pa.Table]] = [[] for _ in range(shards)]
    starts = np.flatnonzero(np.diff(tables, prepend=-1))
    for start, end in zip(starts, np.append(starts[1:], len(tables)), strict=True):
        cuts = [start, *(start + np.searchsorted(keys[start:end], bounds)), end]
        for part, first, last in zip(parts, cuts[:-1], cuts[1:], strict=True):
            part.append(counts.slice(first, last - first))
    return [pa.concat_tables([COUNTS.empty_table(), *part]) for part in parts]


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


def histogram(counts: pa.Table) -> pa.Table:
    """Makes the histogram of keys of which all counts are here, schema HISTOGRAM.

    Args:
        counts: Schema COUNTS, several of them one behind the other.
    """
    table, key, size, count = (counts.column(name).to_numpy() for name in COUNTS.names)
    by_table = np.argsort(table, kind="stable")
    ends = np.cumsum(np.bincount(table)) if len(table) else np.zeros(0, np.int64)
    parts = [HISTOGRAM.empty_table()]
    for number, end in enumerate(ends):
        rows = by_table[ends[number - 1] if number else 0 : end]
        totals, keys = np.unique(_totals(key[rows], size[rows], count[rows]), return_counts=True)
        parts.append(pa.table([np.full(len(totals), number, np.int32), totals, keys], schema=HISTOGRAM))
    return pa.concat_tables(parts)


def _totals(keys: _Keys, sizes: _Integers, counts: _Integers) -> npt.NDArray[np.float64]:
    """What each key was counted in all, float64 [distinct keys]: count/size added up over its sizes, in their order."""
    if (keys[1:] < keys[:-1]).any():
        order = np.argsort(keys)
        keys, sizes, counts = keys[order], sizes[order], counts[order]
    new = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
    starts = np.flatnonzero(new)
    if not len(starts):
        return np.zeros(0)
    smallest = np.minimum.reduceat(sizes, starts)
    totals = np.add.reduceat(counts, starts) / smallest
    mixed = smallest != np.maximum.reduceat(sizes, starts)
    if mixed.any():
        of_mixed = np.repeat(mixed, np.diff(np.append(starts, len(keys))))
        keys, sizes, counts = keys[of_mixed], sizes[of_mixed], counts[of_mixed]
        order = np.lexsort((sizes, keys))
        keys, sizes, counts = keys[order], sizes[order], counts[order]
        new = np.append(True, keys[1:] != keys[:-1])
        each_size = np.flatnonzero(new | np.append(True, sizes[1:] != sizes[:-1]))
        shares = np.add.reduceat(counts, each_size) / sizes[each_size]
        totals[mixed] = np.add.reduceat(shares, np.flatnonzero(new[each_size]))
    return totals


def merge_histograms(histograms: pa.Table) -> pa.Table:
    """Adds up the histograms of parts that share no key."""
    merged = histograms.group_by(["table", "count"], use_threads=False).aggregate([("keys", "sum")])
    return merged.rename_columns(HISTOGRAM.names).cast(HISTOGRAM)


def _spread(values: Values) -> tuple[_Keys, _Integers, _Integers]:
    """Each value's key, how many its row has, and its row."""
    rows = np.repeat(np.arange(len(values.sizes)), values.sizes)
    return values.codes, values.sizes[rows], rows


def _pair(first: Values, second: Values) -> tuple[_Keys, _Integers, _Integers]:
    """Each pair of values' key, how many its row has, and its row."""
    sizes = first.sizes * second.sizes
    if len(first.codes) == len(second.codes) == len(sizes):
        return mix(first.codes, second.codes), sizes, np.arange(len(sizes))
    rows = np.repeat(np.arange(len(sizes)), sizes)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    width = second.sizes[rows]
    a = first.codes[(np.cumsum(first.sizes) - first.sizes)[rows] + within // width]
    b = second.codes[(np.cumsum(second.sizes) - second.sizes)[rows] + within % width]
    return mix(a, b), sizes[rows], rows


@dataclass(frozen=True)
class _Coded:
    """A feature of n rows with one value each, as places among its distinct values."""

    distinct: _Keys
    places: _Integers
    """int64 [n]."""


def _code(values: Values) -> _Coded | None:
    """The values as places; None if a row has several."""
    if len(values.codes) != len(values.sizes):
        return None
    encoded = pa.array(values.codes).dictionary_encode()
    return _Coded(encoded.dictionary.to_numpy(), encoded.indices.to_numpy().astype(np.int64))


def _count_densely(first: _Coded | None, second: _Coded | None) -> tuple[_Keys, _Integers, _Integers] | None:
    """As `_count`, by a cell for each pair of values; None where that would be more work than sorting the rows."""
    if first is None or second is None or len(first.distinct) * len(second.distinct) > 4 * len(first.places):
        return None
    width = len(second.distinct)
    cells = np.bincount(first.places * width + second.places)
    filled = np.flatnonzero(cells)
    keys = mix(first.distinct[filled // width], second.distinct[filled % width])
    order = np.argsort(keys)
    return keys[order], np.ones(len(keys), np.int64), cells[filled][order]


def _count(keys: _Keys, sizes: _Integers, weights: _Integers | None) -> tuple[_Keys, _Integers, _Integers]:
    """Rising keys, sizes and counts; a key has a row at least for each size."""
    if weights is None and (sizes == 1).all():
        keys = np.sort(keys)
        order = None
    else:
        order = np.argsort(keys)
        keys, sizes = keys[order], sizes[order]
    new = keys[1:] != keys[:-1]
    if order is not None:
        new |= sizes[1:] != sizes[:-1]
    starts = np.flatnonzero(np.append(True, new)[: len(keys)])
    if weights is None or order is None:
        counts = np.diff(np.append(starts, len(keys)))
    else:
        counts = np.add.reduceat(weights[order], starts) if len(starts) else weights[:0]
    return keys[starts], sizes[starts], counts


def _concat(parts: Sequence[Values]) -> Values:
    return Values(np.concatenate([part.codes for part in parts]), np.concatenate([part.sizes for part in parts]))


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
