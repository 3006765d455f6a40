"""Items that are looked up as one but pass the item tower's layers in parts, and which features each part shows.

Shapes: P parts, B items of one, K item features, D embedding dimension.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from features.dataset import EncodedFeature
from model.network.embedding import column_widths
from model.network.feature_values import Features


class ItemParts(NamedTuple):
    """Parts that lie behind each other."""

    sizes: tf.Tensor
    """int64 [P]: items of each."""
    shown: tf.Tensor
    """int32 [P, K]: columns of each feature; 0 where every item of the part has the feature's default."""


def item_parts(parts: Sequence[Features], features: Sequence[EncodedFeature], *, dim: int) -> ItemParts:
    """What the parts show: a mask that a batch shares hides a feature of all its views.

    Args:
        parts: Features of each part's items, ragged [B, (values)] each.
        features: The K, in the order of the tower's input.
        dim: D.

    Returns:
        Of them; a part without any value shows all of its columns, since a product needs some.
    """
    has_values = tf.stack([tf.stack([tf.size(part[f.key].values) > 0 for f in features]) for part in parts])
    has_none = ~tf.reduce_any(has_values, axis=1, keepdims=True)
    return ItemParts(
        sizes=tf.stack([part[features[0].key].nrows() for part in parts]),
        shown=tf.where(has_values | has_none, column_widths(features, dim=dim), 0),
    )
