"""Ids looked up again and again among the same known ones.

pyarrow's `index_in` and `is_in` hash all known ones at every call, which some thousands of calls make quadratic.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.flags import flags_of
from features.hashing import hash_texts

_SEED = 0x1D5
_HASHED_AT_ONCE = 1 << 20


class KnownIds:
    """Known ids, by their hashes in ascending order."""

    def __init__(self, known: pa.Array) -> None:
        """Hashes them once.

        Args:
            known: Texts [N], no nulls; large ones may have more than 2 GiB together.
        """
        large = pa.large_binary()
        hashes = _hashes(known)
        order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[order]
        self._rows = order
        self._known = known.cast(large)

    def index(self, ids: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
        """The index of each id among the known ones, the first where it is there more than once, -1 where it isn't.

        Args:
            ids: Texts [n], no nulls.

        Returns:
            int64 [n].
        """
        chunks = ids.chunks if isinstance(ids, pa.ChunkedArray) else [ids]
        return np.concatenate([np.empty(0, np.int64), *map(self._index, chunks)])

    def _index(self, ids: pa.Array) -> npt.NDArray[np.int64]:
        ids, hashes = ids.cast(pa.large_binary()), _hashes(ids)
        found = np.full(len(ids), -1, np.int64)
        places = np.searchsorted(self._hashes, hashes)
        # Of those that are left: where they are in `ids`. More than one round takes only what has another's hash.
        left = np.arange(len(ids))
        while len(left := left[self._has(places[left], hashes[left])]):
            rows = self._rows[places[left]]
            same = flags_of(pc.equal(ids.take(left), self._known.take(rows)))
            found[left[same]] = rows[same]
            left = left[~same]
            places[left] += 1
        return found

    def _has(self, places: npt.NDArray[np.int64], hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Whether the known id at each place has this hash."""
        inside = places < len(self._hashes)
        inside[inside] = self._hashes[places[inside]] == hashes[inside]
        return inside


def _hashes(ids: pa.Array) -> npt.NDArray[np.uint64]:
    some = (ids.slice(start, _HASHED_AT_ONCE) for start in range(0, len(ids), _HASHED_AT_ONCE))
    return np.concatenate([np.empty(0, np.uint64), *(hash_texts(part, _SEED) for part in some)])
