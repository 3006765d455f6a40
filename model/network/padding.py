"""Matrices of fewer shapes: rows are padded to a multiple of 32.

A batch has other numbers of different queries, items and views in every step, and oneDNN, which multiplies on CPUs,
compiles a kernel for each shape that it hasn't met. In bfloat16 the product of 677 x 855 and 855 x 128 took 0.7 ms in
one shape, and 3.4 ms where shapes changed (medians of 130, one core with AMX).

Shapes: R rows, C columns.
"""

import tensorflow as tf

_MULTIPLE = 32


def padding_of(rows: tf.Tensor) -> tf.Tensor:
    """How many rows so many are short of a multiple, int32 []."""
    return -rows % _MULTIPLE


def pad_rows(matrix: tf.Tensor) -> tf.Tensor:
    """A matrix [R, C] with rows of zeros below it."""
    return tf.pad(matrix, [[0, padding_of(tf.shape(matrix)[0])], [0, 0]])


def first_rows(matrix: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """So many rows of a matrix, for what is differentiated.

    With [:rows], whose gradient is slow, a plain step took 10.1 ms, and 8.7 so (medians of 3, bfloat16, AMX).
    """
    return tf.slice(matrix, [0, 0], [rows, -1])
