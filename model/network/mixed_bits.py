"""Bits of which each depends on all bits of a number: numbers that differ anywhere differ everywhere.

Shapes: V numbers.
"""

import tensorflow as tf


def mixed_bits(x: tf.Tensor) -> tf.Tensor:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), which is invertible.

    Args:
        x: uint64 [V].

    Returns:
        uint64 [V].
    """
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = _fold(x, shift) * tf.constant(factor, tf.uint64)
    return _fold(x, 31)


def _fold(x: tf.Tensor, shift: int) -> tf.Tensor:
    return tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, tf.constant(shift, tf.uint64)))
