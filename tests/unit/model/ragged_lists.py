"""Lists of lists as the model takes them."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def ragged(rows: Sequence[Sequence[Any]], dtype: tf.DType = tf.int64) -> tf.RaggedTensor:
    return tf.ragged.constant(rows, dtype, ragged_rank=1, row_splits_dtype=tf.int64)
