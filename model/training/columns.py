"""The columns of the main task's softmax: the items that each query's own is told from.

Shapes: n examples of a replica, N of the global batch, U uniform negatives of it, M items that these have, K different
keys of them, D embedding dimensions.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from model.training.training_batch import distinct


class Columns(NamedTuple):
    """Items of the global batch, its examples' and its uniform negatives."""

    embeddings: tf.Tensor
    """float [M, D]."""
    keys: tf.Tensor
    """int64 [M]; equal for equal items."""
    copies: tf.Tensor
    """float [M]; how many of the N + U an item stands for. GPUs add up no int64."""
    frequency: tf.Tensor
    """float [M]; from `column_frequency`, or that times any constant."""


def one_column_a_key(columns: Columns, column_of: tf.Tensor) -> tuple[Columns, tf.Tensor]:
    """Makes items of equal keys one column, as an item that several replicas have, or that is a uniform negative too.

    What cancels in an example's own column does so in float32. In several columns bfloat16's rounding was 11% of the
    gradient of nearly certain pairs at temperature 0.07, as `test_losses.py` has them.

    Args:
        columns: Of a key all have one embedding and one frequency.
        column_of: int64 [n]; which of them an example has.

    Returns:
        K columns, and which of them an example has.
    """
    which, firsts = distinct(columns.keys)
    joined = Columns(
        embeddings=_rows(columns.embeddings, firsts),
        keys=tf.gather(columns.keys, firsts),
        copies=tf.math.unsorted_segment_sum(columns.copies, which, tf.size(firsts)),
        frequency=tf.gather(columns.frequency, firsts),
    )
    return joined, tf.gather(which, column_of)


def column_frequency(train_count: tf.Tensor, *, train_examples: int, negatives: float, corpus_size: int) -> tf.Tensor:
    """How many columns of the main task's softmax an item can expect to have, for each example of the batch.

    An item has those of the examples that hold it, and now and then one as a uniform negative. Divided by this number,
    the columns' exponentials add up to their sum over the corpus on average, whichever way an item came, but for an
    example's own item, whose column is there for certain (mixed negative sampling: Yang et al., WWW 2020; one frequency
    for both ways is Veach and Guibas' balance heuristic, SIGGRAPH 1995).

    Args:
        train_count: int64 [M]; training examples that hold the item.
        train_examples: All training examples.
        negatives: Uniform negatives an example; without any, an item that no training example holds counts as one that
            one does.
        corpus_size: Items of the corpus.

    Returns:
        float64 [M], above 0.
    """
    if not negatives:
        train_count = tf.maximum(train_count, 1)
    return tf.cast(train_count, tf.float64) / train_examples + negatives / corpus_size


def _rows(values: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """The rows at indices, with a gradient that isn't sparse: TensorFlow's gather of all replicas takes no such one.

    Args:
        values: [M, D].
        indices: int64 [K], distinct.
    """

    @tf.custom_gradient
    def take(values: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        rows = tf.shape(values)[0]
        return tf.gather(values, indices), lambda upstream: tf.math.unsorted_segment_sum(upstream, indices, rows)

    return take(values)
