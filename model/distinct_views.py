"""Views of a batch of items, each different one once.

Masks leave views that many items share: a page shown by its categories alone is any page of these categories. What is
embedded and scored once for all of them is work once per view, not per item.

Shapes: S items of the SSL task, U distinct views of them, V values of a view's features together.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from features.dataset import EncodedFeature
from model.input import Features
from model.row_ids import row_ids
from model.training_batch import distinct


class DistinctViews(NamedTuple):
    """One side of the contrastive task."""

    views: Features
    """Ragged [U, (values)] each."""
    view_of: tf.Tensor
    """int64 [S]: which of the views an item has."""


def each_apart(views: Features) -> DistinctViews:
    """Every item with a view of its own."""
    return DistinctViews(views, tf.range(_rows(views), dtype=tf.int64))


def shared(views: Features, features: Sequence[EncodedFeature]) -> DistinctViews:
    """Views that hold the same values, in any order, once.

    They are told apart by 64 bits: that two of 1,024 that differ are taken for one happens once in 10^13 batches.

    Args:
        views: Ragged [S, (values)] each.
        features: The features that they show.
    """
    values = [_bits(views[f.key].values) + tf.constant(k << 56, tf.uint64) for k, f in enumerate(features)]
    rows = [row_ids(views[f.key]) for f in features]
    mixed = tf.bitcast(_mix(tf.concat(values, axis=0)), tf.int64)
    keys = tf.math.unsorted_segment_sum(mixed, tf.concat(rows, axis=0), _rows(views))
    view_of, first = distinct(keys)
    return DistinctViews({key: tf.gather(ragged, first) for key, ragged in views.items()}, view_of)


def _rows(views: Features) -> tf.Tensor:
    return next(iter(views.values())).nrows()


def _bits(values: tf.Tensor) -> tf.Tensor:
    """uint64 [V], different for different codes or numbers, none of them 0."""
    if values.dtype.is_floating:
        values = tf.bitcast(tf.cast(values, tf.float32), tf.uint32)
    return tf.cast(values, tf.uint64) + tf.constant(1, tf.uint64)


def _mix(x: tf.Tensor) -> tf.Tensor:
    """The finalizer of SplitMix64: bits that differ anywhere differ everywhere."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = _fold(x, shift) * tf.constant(factor, tf.uint64)
    return _fold(x, 31)


def _fold(x: tf.Tensor, shift: int) -> tf.Tensor:
    return tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, tf.constant(shift, tf.uint64)))
