"""What a tower looks up: the values of one feature of all entities behind each other, and whose they are.

Shapes: B entities, V values of a feature.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import tensorflow as tf

from model.network.feature_values import Features
from model.network.row_ids import row_ids


class Lookup(NamedTuple):
    """One feature of some entities."""

    values: tf.Tensor
    """int64 [V], codes; float32 of a numeric feature, [V, size] of vectors."""
    entities: tf.Tensor
    """int64 [V], ascending: which entity has the value."""
    is_empty: tf.Tensor
    """bool [B]: the entity has none."""


Lookups: TypeAlias = Mapping[str, Lookup]
"""Key of a feature -> what is looked up of it."""


def lookups_of(features: Features) -> dict[str, Lookup]:
    """What is looked up of these features, ragged [B, (values)] each."""
    return {
        key: Lookup(values.values, row_ids(values), tf.equal(values.row_lengths(), 0))
        for key, values in features.items()
    }
