"""Rows of a matrix brought to length 1.

Shapes: B rows, D columns.
"""

import tensorflow as tf

from model.network.padding import first_rows, pad_rows


def unit_length(rows: tf.Tensor) -> tf.Tensor:
    """Each row [B, D] divided by its Euclidean length, whose square must fit its type; a row of zeros stays.

    The gradient of a row of zeros is as if it had length 1. Keras's layer gives 1e12, by which Adam and Adagrad never
    move a weight again: an entity of which only numbers are read, all missing, is such a row before the first step.

    Equal rows stay equal to the last bit, wherever they stand: items that the model can't tell apart must tie.
    """
    # TensorFlow computes the last few of a number of roots that isn't a multiple of 16 in another way than the others,
    # with another last bit in a third of all cases (AVX-512).
    squared = pad_rows(tf.reduce_sum(tf.square(rows), axis=-1, keepdims=True))
    factors = tf.math.rsqrt(tf.where(squared > 0, squared, 1))
    return rows * first_rows(factors, tf.shape(rows)[0])
