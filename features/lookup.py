"""Values found among known ones."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.hashing import hash_texts

_SEED = 0x10CA


def index_among(values: pa.Array | pa.ChunkedArray, known: pa.Array) -> npt.NDArray[np.int64]:
    """The index of each value among the known ones, -1 where it is missing or none of them; int64 [n].

    Args:
        values: [n], may hold nulls.
        known: Of the same type; distinct.
    """
    return pc.fill_null(pc.index_in(values, value_set=known), -1).to_numpy().astype(np.int64)


class KnownTexts:
    """Known texts among which batches of others are looked up: `index_among` hashes all of them for each."""

    def __init__(self, known: pa.Array) -> None:
        """Hashes them once.

        Args:
            known: string or binary, distinct.
        """
        hashes = hash_texts(known, _SEED)
        self._known, self._by_hash = known, np.argsort(hashes)
        self._hashes = hashes[self._by_hash]

    def index(self, values: pa.Array) -> npt.NDArray[np.int64]:
        """As `index_among`; without nulls."""
        if not len(self._known):
            return np.full(len(values), -1)
        encoded = values.dictionary_encode()
        texts = encoded.dictionary
        places = np.searchsorted(self._hashes, hash_texts(texts, _SEED)).clip(max=len(self._hashes) - 1)
        found = self._by_hash[places]
        same = pc.equal(self._known.take(pa.array(found)), texts).to_numpy(zero_copy_only=False)
        if not same.all():  # unknown, or of a hash that several have
            found[~same] = index_among(texts.filter(pa.array(~same)), self._known)
        return found[encoded.indices.to_numpy()]
