"""Rows of a matrix brought to length 1.

Shapes: B rows, D columns.
"""

import tensorflow as tf


def unit_length(rows: tf.Tensor) -> tf.Tensor:
    """Each row [B, D] divided by its Euclidean length, whose square must fit its type; a row of zeros stays.

    The gradient of a row of zeros is as if it had length 1. Keras's layer gives 1e12, by which Adam and Adagrad never
    move a weight again: an entity of which only numbers are read, all missing, is such a row before the first step.
    """
    squared = tf.reduce_sum(tf.square(rows), axis=-1, keepdims=True)
    return rows * tf.math.rsqrt(tf.where(squared > 0, squared, 1))
