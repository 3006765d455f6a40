"""A sample of a split's queries: those of the lowest hashes, which neither sharding nor other pairs change.

Shapes: B examples of a batch.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.hashing import hash_pairs, hash_texts

Batch: TypeAlias = tuple[NDArray[np.object_], NDArray[np.object_], NDArray[np.object_]]
"""Serialized examples, their query ids and item ids, [B] each."""

_SEED = 0xD2A3


def of_drawn_queries(read: Callable[[], Iterator[Batch]], most: int | None, *, is_session: bool) -> Iterator[Batch]:
    """The examples of some of the queries, a batch at a time.

    Args:
        read: Reads all examples; called twice where only some queries are wanted.
        most: How many queries are wanted; None: all.
        is_session: Every example is a query of its own.
    """
    draws = partial(draws_of, is_session=is_session)
    highest = highest_draw(map(draws, read()), most, distinct=not is_session)
    for batch in read():
        kept = slice(None) if highest is None else draws(batch) <= highest
        serialized, query_ids, item_ids = batch
        yield serialized[kept], query_ids[kept], item_ids[kept]


def draws_of(batch: Batch, *, is_session: bool) -> NDArray[np.uint64]:
    """By a hash of queries' ids, or in session mode of theirs and their items', [B].

    It depends neither on where examples lie nor on codes, which other training pairs would change.
    """
    _, query_ids, item_ids = batch
    queries = pa.array(query_ids, pa.binary())
    if is_session:
        return hash_pairs(queries, pa.array(item_ids, pa.binary()), seed=_SEED)
    return hash_texts(queries, _SEED)


def highest_draw(draws: Iterable[NDArray[np.uint64]], most: int | None, *, distinct: bool) -> np.uint64 | None:
    """The highest of so many of the lowest draws; None: no more have come.

    Args:
        draws: Batches of them; twice as many as wanted are in memory at most, and a batch.
        most: How many are wanted; None: all.
        distinct: Whether equal ones count once, not each.
    """
    if most is None:
        return None
    in_order, kept = np.unique if distinct else np.sort, np.empty(0, np.uint64)
    for batch in draws:
        kept = np.concatenate([kept, batch])
        if len(kept) > 2 * most:
            kept = in_order(kept)[: most + 1]
    kept = in_order(kept)
    return np.uint64(kept[most - 1]) if len(kept) > most else None
