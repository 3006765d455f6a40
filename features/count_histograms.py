"""Histograms of joint counts: how many pairs of values were counted how often, which is enough for their entropy."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.item_values import Hashes, Integers, Unsigned
from features.ranges import begins_run

HISTOGRAM = pa.schema([("table", pa.int32()), ("count", pa.float64()), ("keys", pa.int64())])
"""How many value pairs (`keys`) of a table were counted `count` times."""


_COUNTS_AT_ONCE = 1 << 22
"""Some 60 bytes each while they are added up."""


def histogram(counts: Sequence[pa.Table], *, at_once: int = _COUNTS_AT_ONCE) -> pa.Table:
    """Makes the histogram of pairs of which all counts are here, schema HISTOGRAM.

    Args:
        counts: As `features.joint_counts.JointCounts.by_shard` has them.
        at_once: About so many of a table are added up together; of more, a row of the histogram may come in parts.
    """
    tables = [part.column("table").to_numpy() for part in counts]
    last = max((int(table[-1]) for table in tables if len(table)), default=-1)
    cuts = [np.searchsorted(table, np.arange(last + 2)) for table in tables]
    parts = [HISTOGRAM.empty_table()]
    for number in range(last + 1):
        mine = [part.slice(cut[number], cut[number + 1] - cut[number]) for part, cut in zip(counts, cuts, strict=True)]
        pieces = sum(part.num_rows for part in mine) // at_once + 1
        for piece in range(pieces):
            columns = [_of_piece(part, piece, pieces=pieces) for part in mine]
            keys, sizes, found = (np.concatenate(column) for column in zip(*columns, strict=True))
            of_piece = histogram_of_table(number, keys, sizes=sizes.astype(np.int64), counts=found.astype(np.int64))
            parts.append(of_piece)
    return pa.concat_tables(parts)


def _of_piece(part: pa.Table, piece: int, *, pieces: int) -> tuple[Hashes, Unsigned, Unsigned]:
    """Key, size and count of those whose key is of one of so many pieces: all counts of a key are of the same one."""
    keys = _hashes(part.column("first"), _FACTOR) + _hashes(part.column("second"), np.uint64(1))
    sizes, counts = part.column("size").to_numpy(), part.column("count").to_numpy()
    if pieces == 1:
        return keys, sizes, counts
    mine = keys % np.uint64(pieces) == piece
    return keys[mine], sizes[mine], counts[mine]


_FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""A pair's key is the hash of the first value times this, plus that of the second, so order matters. A hash of the
pair would be no better a key: `features.hashing.mix` makes one out of this sum, and another for each sum."""


def _hashes(values: pa.ChunkedArray, factor: np.uint64) -> Hashes:
    encoded = values.combine_chunks()
    hashes: Hashes = (encoded.dictionary.to_numpy() * factor)[encoded.indices.to_numpy()]
    return hashes


def histogram_of_table(number: int, keys: Hashes, *, sizes: Integers, counts: Integers) -> pa.Table:
    """The histogram of one table, schema HISTOGRAM.

    Args:
        number: The table's.
        keys: What is counted, uint64 [n], perhaps in parts.
        sizes: int64 [n], as one of how many.
        counts: int64 [n], how often.
    """
    totals, found = np.unique(_totals(keys, sizes, counts=counts), return_counts=True)
    return pa.table([np.full(len(totals), number, np.int32), totals, found], schema=HISTOGRAM)


def _totals(keys: Hashes, sizes: Integers, *, counts: Integers) -> npt.NDArray[np.float64]:
    """What each key was counted in all, float64 [distinct keys]: count/size added up over its sizes, in their order."""
    if not len(keys):
        return np.zeros(0)
    most, alike = int(sizes.max()), sizes.min() == sizes.max()
    if (keys[1:] < keys[:-1]).any():
        order = np.argsort(keys)
        keys, counts = keys[order], counts[order]
        sizes = sizes if alike else sizes[order]
    new = begins_run(keys)
    starts = np.flatnonzero(new)
    totals: npt.NDArray[np.float64] = np.add.reduceat(counts, starts) / sizes[starts]
    if alike:
        return totals
    mixed = np.minimum.reduceat(sizes, starts) != np.maximum.reduceat(sizes, starts)
    if mixed.any():
        of_mixed = np.repeat(mixed, np.diff(np.append(starts, len(keys))))
        # By key, then size: the number of the key times that of sizes, plus the size, is faster to sort than both.
        key_and_size = np.cumsum(new[of_mixed]) * (most + 1) + sizes[of_mixed]
        order = np.argsort(key_and_size)
        key_and_size, counts = key_and_size[order], counts[of_mixed][order]
        each_size = np.flatnonzero(begins_run(key_and_size))
        key, size = np.divmod(key_and_size[each_size], most + 1)
        shares = np.add.reduceat(counts, each_size) / size
        totals[mixed] = np.add.reduceat(shares, np.flatnonzero(begins_run(key)))
    return totals
