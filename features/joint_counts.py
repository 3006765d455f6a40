"""Joint counts of the values of item features, which is all that mutual information needs to know of a corpus.

A row with several values of a feature spreads its weight evenly over them, so a pair of values counts 1/(|a||b|).
Counts stay integers per |a||b| (`size`) until all are summed; then one division each, in sorted order, gives the same
floats whatever the order in which an engine brought them.

Letters: n rows (items).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.count_histograms import HISTOGRAM, histogram_of_table
from features.item_values import Hashes, Integers, Unsigned, Values, narrow, values_of
from features.ranges import offsets
from features.spec.features import IdFeature, Side
from features.value_pairs import PairCounts, count_value_pairs

_PAIRS_AT_ONCE = 1 << 22
"""Some 60 bytes each while they are counted; two texts of 20 and 500 words an item have 10,000."""
_HELD = 2
"""Counts are given away when so many times as many are held as pairs are counted at once."""


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


def estimated_pairs(items: pa.Table) -> int:
    """Pairs of values, as they are and as many by chance: so many rows are counted if no two are equal, about."""
    sizes = [
        pc.list_value_length(column).to_numpy().astype(np.int64)
        if pa.types.is_list(column.type)
        else np.ones(len(column), np.int64)
        for name, column in zip(items.column_names, items.columns, strict=True)
        if name.startswith("feature/")
    ]
    return int((np.sum(sizes, 0) ** 2 - np.sum(np.square(sizes), 0)).sum())


def _partners(items: pa.Table) -> Integers:
    """Each row's partner by chance, int64 [n]: the next one in the order of a seeded hash; itself if alone."""
    order = np.argsort(items.column("order").to_numpy(), kind="stable")
    partners = np.empty(len(order), np.int64)
    partners[order] = np.roll(order, -1)
    return partners


@dataclass(frozen=True)
class JointCounts:
    """What some blocks have of each table, or some of it."""

    by_shard: dict[int, pa.Table]
    """Shard -> its counts: how often a pair of values stands in a table, as one of `size`. All counts of a pair lie in
    one shard, whichever blocks they are of. Columns: `table`, rising; `first` and `second`, hashes of values; `size`;
    `count`. Numbers are as narrow as they fit and hashes dictionary-encoded, so that a pair of values takes 2 to 3
    bytes when it is compressed; a hash of both would take 8."""
    complete: pa.Table
    """Schema HISTOGRAM, of tables with an id: all that there is of an id is in its block."""


def count_values(
    blocks: Sequence[pa.Table],
    side: Side,
    *,
    bounds: Mapping[str, Sequence[float]],
    shards: int,
    at_once: int = _PAIRS_AT_ONCE,
) -> Iterator[JointCounts]:
    """Counts every feature and pair of features of some blocks.

    Args:
        blocks: At least one, as `features.item_values.hash_items` makes it: each is permuted for itself, so all of its
            items are here.
        side: The items' features.
        bounds: Numeric feature -> bounds of its classes; a feature that no item has may be left out.
        shards: How many shards counts are taken apart into.
        at_once: About so many pairs of values are in memory together, and twice as many counts, which are smaller.

    Yields:
        At least one; more where the blocks have so many pairs.
    """
    items = pa.concat_tables(blocks)
    values = {name: values_of(items.column(f"feature/{name}"), bounds.get(name, ())) for name in side.features}
    starts = np.cumsum([0, *(block.num_rows for block in blocks)])
    partners = np.concatenate([_partners(block) + start for block, start in zip(blocks, starts[:-1], strict=True)])
    permuted = {name: found.take(partners) for name, found in values.items()}
    weights = items.column("weight").to_numpy() if "weight" in items.column_names else None
    nothing = Values(np.zeros(1, np.uint64), np.zeros(len(items), np.int64), np.ones(len(items), np.int64))
    ids = {name for name, feature in side.features.items() if isinstance(feature, IdFeature)}

    parts: list[list[_Part]] = [[] for _ in range(shards)]
    held = 0
    complete = [HISTOGRAM.empty_table()]
    for number, table in enumerate(count_tables(list(values))):
        others = permuted if table.chance else values
        first = (others if table.second is None else values)[table.first]
        second = nothing if table.second is None else others[table.second]
        counted = count_value_pairs(first, second, weights=weights, at_once=at_once)
        if ids & {table.first, table.second}:
            # No more than the values of the other feature: an item has one id.
            cells, sizes, counts = (np.concatenate(columns) for columns in zip(*counted, strict=True))
            complete.append(histogram_of_table(number, cells.astype(np.uint64), sizes=sizes, counts=counts))
            continue
        for part in counted:
            for shard, columns in _by_shard(first.distinct, second.distinct, counted=part, shards=shards):
                parts[shard].append(_Part(number, table, *columns))
            held += len(part.counts)
            if held >= _HELD * at_once:
                yield JointCounts(_to_tables(parts, values), HISTOGRAM.empty_table())
                parts, held = [[] for _ in range(shards)], 0
    yield JointCounts(_to_tables(parts, values), pa.concat_tables(complete))


class _Part(NamedTuple):
    """What a shard gets of one table; places among the distinct values of its features."""

    number: int
    table: CountTable
    first: Unsigned
    second: Unsigned
    sizes: Unsigned
    counts: Unsigned


def _by_shard(
    first: Hashes, second: Hashes, *, counted: PairCounts, shards: int
) -> Iterator[tuple[int, list[Unsigned]]]:
    """What each shard gets of the counts of two features with these values, if anything: as _Part has its columns."""
    a = counted.cells // len(second)
    b = counted.cells - a * len(second)
    shard = _shard(first, shards)[a] + _shard(second, shards)[b]
    shard = narrow(np.minimum(shard, shard - np.uint64(shards)))  # modulo: below 0 it wraps, and is the greater
    order = np.argsort(shard, kind="stable")
    columns = [narrow(column)[order] for column in (a, b, counted.sizes, counted.counts)]
    for number, (start, end) in enumerate(pairwise(offsets(np.bincount(shard, minlength=shards)))):
        if end > start:
            yield number, [column[start:end] for column in columns]


def _shard(hashes: Hashes, shards: int) -> Hashes:
    """What each value adds to the shard of its pairs: no value is so common that a shard gets all of its pairs."""
    return (hashes >> np.uint64(32)) * np.uint64(shards) >> np.uint64(32)


def _to_tables(parts: list[list[_Part]], values: Mapping[str, Values]) -> dict[int, pa.Table]:
    """Shard -> its counts, if it has any."""
    return {shard: _to_table(mine, values) for shard, mine in enumerate(parts) if mine}


def _to_table(parts: list[_Part], values: Mapping[str, Values]) -> pa.Table:
    """Puts the parts of a shard behind each other, as JointCounts.by_shard has them."""
    numbers = np.repeat([part.number for part in parts], [len(part.counts) for part in parts])
    return pa.table(
        {
            "table": narrow(numbers),
            "first": _hashes([(part.table.first, part.first) for part in parts], values),
            "second": _hashes([(part.table.second, part.second) for part in parts], values),
            "size": np.concatenate([part.sizes for part in parts]),
            "count": np.concatenate([part.counts for part in parts]),
        }
    )


def _hashes(parts: list[tuple[str | None, Unsigned]], values: Mapping[str, Values]) -> pa.DictionaryArray:
    """The values of (feature, their places) each, one behind the other, with a dictionary of those alone.

    Of no feature, all are 0.
    """
    used = {name: np.zeros(len(found.distinct), np.bool_) for name, found in values.items()}
    for name, places in parts:
        if name is not None:
            used[name][places] = True
    distinct = np.concatenate([[np.uint64(0)], *(values[name].distinct[mine] for name, mine in used.items())])
    ends = dict(zip(used, np.cumsum([0, *(np.count_nonzero(mine) for mine in used.values())]), strict=False))
    renumbered = {name: np.cumsum(mine) + ends[name] for name, mine in used.items()}
    found = [np.zeros(len(places), np.int64) if name is None else renumbered[name][places] for name, places in parts]
    return pa.DictionaryArray.from_arrays(pa.array(narrow(np.concatenate(found))), pa.array(distinct))
