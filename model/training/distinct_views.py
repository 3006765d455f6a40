"""Views of a batch of items, each different one once.

Masks leave views that many items share: a page shown by its categories alone is any page of these categories. What is
embedded and scored once for all of them is work once per view, not per item.

Shapes: S items of the SSL task, U distinct views of them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from features.dataset import EncodedFeature
from model.network.feature_values import Features
from model.training.fingerprints import fingerprints
from model.training.training_batch import distinct


class DistinctViews(NamedTuple):
    """One side of the contrastive task."""

    views: Features
    """Ragged [U, (values)] each."""
    view_of: tf.Tensor
    """int64 [S]: which of the views an item has."""


def each_apart(views: Features) -> DistinctViews:
    """Every item with a view of its own."""
    items = next(iter(views.values())).nrows()
    return DistinctViews(views, tf.range(items, dtype=tf.int64))


def shared(views: Features, features: Sequence[EncodedFeature]) -> DistinctViews:
    """Views that hold the same values, in any order, once.

    Args:
        views: Ragged [S, (values)] each.
        features: The features that they show.
    """
    keys = fingerprints(views, list(enumerate(features)))
    view_of, first = distinct(keys)
    return DistinctViews({key: tf.gather(ragged, first) for key, ragged in views.items()}, view_of)
