"""Features out of TensorFlow's memory, which gives none back, and in it again without a copy.

Shapes: B rows of a part, N of all parts.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.ranges import offsets, ranges

Array: TypeAlias = npt.NDArray[Any]
Rows: TypeAlias = tuple[Array, npt.NDArray[np.int64]]
"""Values, and of how many rows [B] have how many each."""

_ALIGNMENT = 64
"""Bytes; of no processor TensorFlow wants more."""


def rows_apart(features: dict[str, Any]) -> dict[str, Any]:
    """Ragged tensors as their values and how many each row has; others as they are."""
    return {
        key: (values.values, values.row_lengths()) if isinstance(values, tf.RaggedTensor) else values
        for key, values in features.items()
    }


def in_order(parts: Sequence[Rows], order: npt.NDArray[np.int64]) -> tf.RaggedTensor:
    """Rows in another order.

    Args:
        parts: What `rows_apart` gives.
        order: [N], of the rows of all parts.
    """
    lengths = np.concatenate([of_part for _, of_part in parts])
    splits = offsets(lengths[order])
    starts = np.empty_like(lengths)
    starts[order] = splits[:-1]
    values = _empty([int(splits[-1]), *parts[0][0].shape[1:]], parts[0][0].dtype)
    row = 0
    for part, of_part in parts:
        values[ranges(starts[row : row + len(of_part)], of_part)] = part
        row += len(of_part)
    return tf.RaggedTensor.from_row_splits(_shared(values), splits, validate=False)


def joined(parts: Sequence[Any]) -> tf.Tensor | tf.RaggedTensor:
    """The rows of all parts as they come, of arrays or of `Rows`."""
    if isinstance(parts[0], tuple):
        values, lengths = zip(*parts, strict=True)
        return tf.RaggedTensor.from_row_splits(
            joined(values), joined([offsets(np.concatenate(lengths))]), validate=False
        )
    whole = _empty([sum(map(len, parts)), *parts[0].shape[1:]], parts[0].dtype)
    return _shared(np.concatenate(parts, out=whole))


def rows_where(rows: Array | Rows, mask: npt.NDArray[np.bool_]) -> Array | Rows:
    """Those rows of a part that a mask [B] has."""
    if isinstance(rows, tuple):
        values, lengths = rows
        return values[np.repeat(mask, lengths)], lengths[mask]
    return rows[mask]


def _empty(shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
    """An array that TensorFlow can compute with where it lies; one that isn't aligned ends the process."""
    room = np.empty(math.prod(shape) * np.dtype(dtype).itemsize + _ALIGNMENT, np.uint8)
    return np.ndarray(shape, dtype, buffer=room, offset=-room.ctypes.data % _ALIGNMENT)


def _shared(values: Array) -> tf.Tensor:
    """One from `_empty`, where it lies: as a constant it would be copied, for a moment to three times its size."""
    return tf.experimental.dlpack.from_dlpack(values.__dlpack__())
