"""Random draws without state: a function of the seed, what is drawn, the step and the row of the global batch.

Shapes: B rows of a replica, V values of them.
"""

import zlib
from dataclasses import dataclass

import tensorflow as tf

from model.network.mixed_bits import mixed_bits

_GOLDEN = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Rows:
    """Which rows of a global batch a replica holds: a draw is a function of the row, not of the replica."""

    numbers: tf.Tensor
    """int64 [B]."""
    of: int
    """Rows of the global batch."""


def draw_key(seed: int, purpose: str, *at: tf.Tensor | int) -> tf.Tensor:
    """The key of a draw, for TensorFlow's stateless random operations or `uniform_values`.

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


def uniform_values(key: tf.Tensor, *, rows: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """Uniform draws for some values of rows of the global batch, and for no others.

    Each is output number `rows * 2^32 + indices` of SplitMix64, so it is the same whichever replica holds the row.
    `uniform_rows` draws for as many values as a row can have: so preparing a batch of CFM on wikispeedia-links took 1.2
    times the processor time (medians of 3 processes each, two AVX-512 cores).

    Args:
        key: int64 [2], from `draw_key`.
        rows: int64 [V]; the value's row.
        indices: int64 [V]; which of the row's values it is.

    Returns:
        float32 [V] in [0, 1).
    """
    first, second = tf.unstack(tf.bitcast(key, tf.uint64))
    start = mixed_bits(first + mixed_bits(second))
    numbers = tf.bitcast(tf.bitwise.left_shift(rows, tf.constant(32, tf.int64)) + indices, tf.uint64)
    drawn = mixed_bits(start + (numbers + tf.constant(1, tf.uint64)) * tf.constant(_GOLDEN, tf.uint64))
    # float32 has 24 bits of a number below 1.
    return tf.cast(tf.bitwise.right_shift(drawn, tf.constant(40, tf.uint64)), tf.float32) * 2.0**-24
