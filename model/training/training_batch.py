"""A batch of training examples: what it holds of each query and item, once, and which of them the examples have.

Examples of a small corpus share queries and items: of 1,024 on wikispeedia-links there are 855 and 677. What is looked
up, embedded and scored once for all of them is work once per entity, not per example.

Shapes: B examples, Q distinct queries and M distinct items of them, U distinct keys.
"""

from typing import NamedTuple

import tensorflow as tf

from model.network.feature_values import Features


class TrainingBatch(NamedTuple):
    """One replica's share of a global batch of query-item examples."""

    row: tf.Tensor
    """int64 [B]: the example's row of the global batch."""
    query: Features
    """Ragged [Q, (values)] each; in session mode with the history, and every example is a query of its own."""
    query_of: tf.Tensor
    """int64 [B]: which of the queries an example has."""
    item: Features
    """Ragged [M, (values)] each."""
    item_of: tf.Tensor
    """int64 [B]: which of the items an example has."""
    item_key: tf.Tensor
    """int64 [M], from `id_keys`."""
    train_count: tf.Tensor
    """int64 [M]: training examples that hold the item."""

    def apart(self) -> "TrainingBatch":
        """The same examples, each with a query and an item of its own; of a batch without uniform negatives."""
        every = tf.range(tf.size(self.row), dtype=tf.int64)
        return TrainingBatch(
            row=self.row,
            query={key: tf.gather(values, self.query_of) for key, values in self.query.items()},
            query_of=every,
            item={key: tf.gather(values, self.item_of) for key, values in self.item.items()},
            item_of=every,
            item_key=tf.gather(self.item_key, self.item_of),
            train_count=tf.gather(self.train_count, self.item_of),
        )


def distinct(keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Which keys there are.

    Args:
        keys: int64 [B].

    Returns:
        Which of the distinct keys each one is, counted as they come, int64 [B]; and where each first stands, int64 [U].
    """
    found, which = tf.unique(keys, out_idx=tf.int64)
    # GPUs have a minimum of int32 alone.
    firsts = tf.math.unsorted_segment_min(tf.range(tf.size(keys)), which, tf.size(found))
    return which, tf.cast(firsts, tf.int64)


def id_keys(ids: tf.Tensor) -> tf.Tensor:
    """Fingerprints of ids: equal ids, equal keys, on every replica.

    Args:
        ids: bytes [B].

    Returns:
        int64 [B].
    """
    return tf.strings.to_hash_bucket_fast(ids, 2**63 - 1)
