"""Values of entities' features, as the network takes them.

Shapes: B entities.
"""

from collections.abc import Sequence
from typing import TypeAlias

import tensorflow as tf

from features.dataset import EncodedFeature

Features: TypeAlias = dict[str, tf.RaggedTensor]
"""Key of a feature -> [B, (values)]: int64 codes, float32 numbers; of vectors [B, (1 or 0), size]. No value:
missing, unknown or masked."""


def features_spec(features: Sequence[EncodedFeature]) -> dict[str, tf.RaggedTensorSpec]:
    """The signature of these features, of any number of entities and values."""
    inner = {f.key: [f.size] if f.kind == "vector" else [] for f in features}
    return {
        f.key: tf.RaggedTensorSpec([None, None, *inner[f.key]], dtype_of(f), ragged_rank=1, row_splits_dtype=tf.int64)
        for f in features
    }


def dtype_of(feature: EncodedFeature) -> tf.DType:
    """Of codes or of numbers."""
    return tf.float32 if feature.vocabulary is None else tf.int64
