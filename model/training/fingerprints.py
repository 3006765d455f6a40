"""Numbers that are equal where items show the same values.

They are told apart by 64 bits: that two of 1,024 that differ are taken for one happens once in 10^13 batches.

Shapes: S items, K features, V values of some features together.
"""

from collections.abc import Sequence

import tensorflow as tf

from features.dataset import EncodedFeature
from model.network.feature_values import Features
from model.network.mixed_bits import mixed_bits
from model.network.row_ids import row_ids


def fingerprints(items: Features, features: Sequence[tuple[int, EncodedFeature]]) -> tf.Tensor:
    """A number per item, equal where all values are, in any order but a vector's.

    Args:
        items: Ragged [S, (values)] each.
        features: Which features count, each with its number among the K.

    Returns:
        int64 [S], the sum of what each of the features gives alone; 0 of one without values.
    """
    values = [_mixed(items[f.key].values, k << 40) for k, f in features]
    rows = [row_ids(items[f.key]) for _, f in features]
    return tf.math.unsorted_segment_sum(
        tf.concat(values, axis=0), tf.concat(rows, axis=0), next(iter(items.values())).nrows()
    )


def fingerprints_by_feature(items: Features, features: Sequence[EncodedFeature]) -> tf.Tensor:
    """A number per item and feature, int64 [S, K]; any features' sum is their fingerprint."""
    return tf.stack([fingerprints(items, [numbered]) for numbered in enumerate(features)], axis=1)


def _mixed(values: tf.Tensor, feature: int) -> tf.Tensor:
    """int64 [V], different for different values of a feature, a code, a number or a vector, and for other features'.

    Args:
        values: int64 or float [V]; of vectors float [V, size].
        feature: A number of its own, as a multiple of 2^40.
    """
    if values.dtype.is_floating:
        values = tf.bitcast(tf.cast(values, tf.float32), tf.uint32)
    bits = tf.cast(values, tf.uint64) + tf.constant(feature + 1, tf.uint64)  # never 0
    if values.shape.rank == 1:
        return tf.bitcast(mixed_bits(bits), tf.int64)
    places = tf.bitwise.left_shift(tf.cast(tf.range(values.shape[1]), tf.uint64), tf.constant(48, tf.uint64))
    return tf.reduce_sum(tf.bitcast(mixed_bits(bits + places), tf.int64), axis=1)
