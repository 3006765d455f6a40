"""Numbers that are equal where items show the same values.

They are told apart by 64 bits: that two of 1,024 that differ are taken for one happens once in 10^13 batches.

Shapes: S items, K features, V values of some features together.
"""

from collections.abc import Sequence

import tensorflow as tf

from features.dataset import EncodedFeature
from model.network.input import Features
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
    values = [_bits(items[f.key], f) + tf.constant(k << 40, tf.uint64) for k, f in features]
    rows = [row_ids(items[f.key]) for _, f in features]
    mixed = tf.bitcast(mixed_bits(tf.concat(values, axis=0)), tf.int64)
    return tf.math.unsorted_segment_sum(mixed, tf.concat(rows, axis=0), next(iter(items.values())).nrows())


def fingerprints_by_feature(items: Features, features: Sequence[EncodedFeature]) -> tf.Tensor:
    """A number per item and feature, int64 [S, K]; any features' sum is their fingerprint."""
    return tf.stack([fingerprints(items, [numbered]) for numbered in enumerate(features)], axis=1)


def _bits(values: tf.RaggedTensor, feature: EncodedFeature) -> tf.Tensor:
    """uint64 [V], different for different codes or numbers, and for places in a vector; none of them 0."""
    flat = values.values
    if flat.dtype.is_floating:
        flat = tf.bitcast(tf.cast(flat, tf.float32), tf.uint32)
    bits = tf.cast(flat, tf.uint64) + tf.constant(1, tf.uint64)
    if feature.kind == "vector":
        places = tf.cast(tf.range(tf.size(flat, tf.int64)) % feature.size, tf.uint64)
        bits += tf.bitwise.left_shift(places, tf.constant(48, tf.uint64))
    return bits
