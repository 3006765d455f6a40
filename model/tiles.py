"""Matrices of few shapes: rows are added until there are a whole number of tiles.

A batch has other numbers of different queries, items and views in every step, and oneDNN, which multiplies on CPUs,
compiles a kernel for each shape that it hasn't met. In bfloat16 the product of 677 x 855 and 855 x 128 took 0.7 ms in
one shape, and 3.4 ms where shapes changed (medians of 130, one core with AMX).

Shapes: R rows, C columns.
"""

import tensorflow as tf

_TILE = 32
"""Of AMX: as many numbers in bfloat16 as a register's row has."""


def lacking(rows: tf.Tensor) -> tf.Tensor:
    """How many rows to add to so many, int32 []."""
    return -rows % _TILE


def whole_tiles(matrix: tf.Tensor) -> tf.Tensor:
    """A matrix [R, C] with rows of zeros below it, as many as it lacks."""
    return tf.pad(matrix, [[0, lacking(tf.shape(matrix)[0])], [0, 0]])


def first_rows(matrix: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """So many of a matrix' rows, for what is differentiated: the gradient of [:rows] took ten times as long."""
    return tf.slice(matrix, [0, 0], [rows, -1])
