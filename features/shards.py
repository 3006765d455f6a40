"""Shards: rows taken apart by a hash of their ids."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.hashing import hash_pairs, hash_texts, mix
from features.ranges import begins_run
from features.word_hashes import hash_words

SHARD_SEED = 0x51A2D


def shard_of(texts: pa.Array, shards: int) -> npt.NDArray[np.int64]:
    """The shard of each id, int64 [n] in [0, shards)."""
    return (hash_texts(texts, seed=SHARD_SEED) % np.uint64(shards)).astype(np.int64)


def shard_of_place(place: int, shards: int) -> int:
    """The shard of a place, in [0, shards): batches begin at multiples of a power of two, as shards often are."""
    return int(shard_of(pa.array([str(place)]), shards)[0])


def shard_of_pairs(queries: pa.Array, items: pa.Array, *, shards: int) -> npt.NDArray[np.int64]:
    """The shard of each (query, item), int64 [n] in [0, shards): those of one query lie in all shards evenly."""
    return (hash_pairs(queries, items, seed=SHARD_SEED) % np.uint64(shards)).astype(np.int64)


def scatter_pairs(queries: pa.Array, items: pa.Array, *, shards: int) -> npt.NDArray[np.int64]:
    """A shard for each (query, item), int64 [n] in [0, shards), evenly: for a shuffle on which no output depends."""
    return (mix(hash_words(queries), hash_words(items)) % np.uint64(shards)).astype(np.int64)


def take_apart(rows: pa.Table, shard: npt.NDArray[np.integer[Any]]) -> list[tuple[int, pa.Table]]:
    """Takes rows apart by the shard of each, integers [n]: (shard, its rows) for each that has any, in order."""
    if rows.num_rows == 0:
        return []
    # Numbers of up to 16 bits are sorted by radix, several times as fast.
    order = np.argsort(shard.astype(np.min_scalar_type(int(shard.max()))), kind="stable")
    sorted_rows, sorted_shard = rows.take(pa.array(order)), shard[order]
    starts = np.flatnonzero(begins_run(sorted_shard))
    ends = np.append(starts[1:], len(order))
    return [
        (int(sorted_shard[start]), sorted_rows.slice(start, end - start))
        for start, end in zip(starts, ends, strict=True)
    ]
