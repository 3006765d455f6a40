"""So many of the ids that come by, drawn by a hash, however many come."""

import numpy as np
import pyarrow as pa

from features.hashing import hash_texts


class DrawnIds:
    """The distinct ids of the lowest hashes, of which twice as many are in memory at most, and a batch."""

    def __init__(self, most: int, *, seed: int) -> None:
        """Starts with none.

        Args:
            most: So many are drawn.
            seed: Of the hash.
        """
        self._most, self._seed = most, seed
        self._parts: list[pa.Array] = []
        self._highest: np.uint64 | None = None
        """Of the hashes that are drawn so far; None: no id has been left out."""

    def add(self, ids: pa.Array) -> None:
        """Takes a batch of ids, which may come again: binary, [n]."""
        found = ids.unique()
        if self._highest is not None:
            found = found.filter(pa.array(hash_texts(found, self._seed) <= self._highest))
        self._parts.append(found)
        if sum(map(len, self._parts)) > 2 * self._most:
            self._leave_out()

    def unless_all(self) -> frozenset[bytes] | None:
        """The drawn ids; None if no more have come than are drawn."""
        self._leave_out()
        return None if self._highest is None else frozenset(pa.chunked_array(self._parts).to_pylist())

    def _leave_out(self) -> None:
        distinct = pa.chunked_array(self._parts, pa.binary()).unique()
        if len(distinct) > self._most:
            hashes = hash_texts(distinct, self._seed)
            lowest = np.argsort(hashes)[: self._most]
            self._highest = hashes[lowest[-1]]
            distinct = distinct.take(lowest)
        self._parts = [distinct]
