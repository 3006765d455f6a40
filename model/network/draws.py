"""Random draws without state: a function of the seed, what is drawn, the step and the row of the global batch.

Shapes: B rows of a replica.
"""

import zlib
from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class Rows:
    """Which rows of a global batch a replica holds: a draw is a function of the row, not of the replica."""

    numbers: tf.Tensor
    """int64 [B]."""
    of: int
    """Rows of the global batch."""


def draw_key(seed: int, purpose: str, *at: tf.Tensor | int) -> tf.Tensor:
    """The key of a draw, for TensorFlow's stateless random operations.

    Args:
        seed: `train.seed`.
        purpose: What is drawn; draws of different purposes are independent.
        *at: Where in the training: step, epoch, file, each an int64 scalar.

    Returns:
        int64 [2].
    """
    key = tf.constant([seed, zlib.crc32(purpose.encode())], tf.int64)
    for position in at:
        key = tf.random.experimental.stateless_fold_in(key, tf.cast(position, tf.int64))
    return key


def uniform_rows(key: tf.Tensor, *, rows: Rows, width: int) -> tf.Tensor:
    """Uniform draws for some rows of the global batch.

    The global batch is drawn whole and the rows are taken from it, so that a row's draws are the same whichever replica
    holds it.

    Args:
        key: int64 [2], from `draw_key`.
        rows: Which.
        width: Draws a row.

    Returns:
        float32 [B, width] in [0, 1).
    """
    return tf.gather(tf.random.stateless_uniform([rows.of, width], key), rows.numbers)
