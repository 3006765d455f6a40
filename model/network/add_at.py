"""Adding values at some entries of a tensor, in place.

Shapes: n entries or rows, R rows of the tensor, D its columns.
"""

import tensorflow as tf


def add_at(tensor: tf.Tensor, entries: tf.Tensor, *, values: tf.Tensor) -> tf.Tensor:
    """A tensor [R, D] with values added at entries, of which some may be the same.

    In place, if nothing reads the tensor any more; `tf.tensor_scatter_nd_add` of TensorFlow 2.21 always copies it.

    Args:
        tensor: Float [R, D].
        entries: int64 [n, 2], (row, column); or [n, 1], rows.
        values: Float [n]; of rows, [n, D].
    """
    return tf.raw_ops.ScatterNdNonAliasingAdd(input=tensor, indices=entries, updates=values)
