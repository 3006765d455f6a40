"""Those values of a ragged tensor that a flag keeps.

Shapes: V values.
"""

import tensorflow as tf


def keep_values(values: tf.RaggedTensor, keep: tf.Tensor) -> tf.RaggedTensor:
    """What `tf.ragged.boolean_mask` gives, by 13 operations of a graph instead of 116.

    Args:
        values: ragged [rows, (values)].
        keep: bool [V], in the order of the flat values.
    """
    kept_before = tf.pad(tf.cumsum(tf.cast(keep, tf.int64)), [[1, 0]])
    return tf.RaggedTensor.from_row_splits(
        tf.gather(values.values, tf.squeeze(tf.where(keep), 1)),
        tf.gather(kept_before, values.row_splits),
        validate=False,
    )
