"""Vectors, n rows of them as Arrow lists: what mutual information and statistics see of them."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.flags import flags_of
from features.hashing import mix

_PROJECTIONS = 8
_STEPS = 2.0**20


def vector_classes(vectors: pa.Array) -> pa.Array:
    """One of 256 classes of each vector, near ones mostly in the same: by the signs of 8 random projections.

    Two vectors at an angle differ in a sign with a probability in proportion to the angle (SimHash: Charikar, STOC
    2002). The sums are of integers, so a class depends on nothing but the vector.

    Args:
        vectors: list<float32> [n], of one length, some null.

    Returns:
        uint64 [n], null where the vector is.
    """
    numbers = _matrix(vectors)
    largest = np.abs(numbers).max(axis=1, initial=0.0, keepdims=True)
    whole = np.rint(numbers / np.where(largest > 0, largest, 1) * _STEPS).astype(np.int64)
    places = np.arange(numbers.shape[1] * _PROJECTIONS, dtype=np.uint64)
    signs = (mix(places, np.zeros(len(places), np.uint64)) & np.uint64(1)).astype(np.int64) * 2 - 1
    positive = whole @ signs.reshape(-1, _PROJECTIONS) > 0
    return _where_valid(vectors, np.packbits(positive, axis=1).astype(np.uint64).ravel())


def vector_lengths(vectors: pa.Array) -> pa.Array:
    """The Euclidean length of each vector, list<float32> [n]; float64 [n], null where the vector is."""
    return _where_valid(vectors, np.sqrt(np.square(_matrix(vectors)).sum(axis=1)))


def _matrix(vectors: pa.Array) -> npt.NDArray[np.float64]:
    """Those that aren't null, [m, size]."""
    rows = len(vectors) - vectors.null_count
    return pc.list_flatten(vectors).to_numpy().astype(np.float64).reshape(rows, -1 if rows else 0)


def _where_valid(vectors: pa.Array, values: npt.NDArray[np.uint64 | np.float64]) -> pa.Array:
    """The values [m] of those that aren't null, each at its place among the n."""
    found = np.zeros(len(vectors), values.dtype)
    valid = flags_of(vectors.is_valid())
    found[valid] = values
    return pa.array(found, mask=~valid)
