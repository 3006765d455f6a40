"""The two losses: the corrected in-batch softmax and the contrastive one.

Each has a row for every row of a replica's batch, and a column for every row of the global batch: the same, with one
replica. It returns the sum over the rows / the number of columns, float []: added over the replicas, the mean.

Shapes: n rows of a replica, N of the global batch, D embedding dimensions.
"""

import tensorflow as tf

from model.softmax_loss import softmax_loss
from model.tower import Precision


def in_batch_softmax(
    queries: tf.Tensor,
    items: tf.Tensor,
    *,
    item_keys: tf.Tensor,
    train_count: tf.Tensor,
    train_examples: int,
    temperature: tf.Tensor | float,
    logq: float = 1.0,
    remove_accidental_hits: bool = True,
    first_row: int = 0,
    precision: Precision = "float32",
) -> tf.Tensor:
    """L_main: the softmax of each query's item among all items of the batch.

    Popular items are in a batch more often, so as negatives they are punished too much; the correction subtracts
    logq * log(train_count / train_examples) from the logits of every column, the positive's too (Yi et al., RecSys
    2019, with exact counts in place of estimates).

    Args:
        queries: float [n, D].
        items: float [N, D]; row first_row + i is the item of query i.
        item_keys: int64 [N]; equal for equal items.
        train_count: int64 [N]; training examples that hold the item.
        train_examples: All training examples.
        temperature: Divides the scores.
        logq: Strength of the correction; 0: none.
        remove_accidental_hits: Leave other rows' copies of a query's item out of its negatives.
        first_row: This replica's first row of the global batch.
        precision: Of the gradient's products.
    """
    bias = left_out = None
    if logq:
        probability = tf.cast(tf.maximum(train_count, 1), items.dtype) / float(train_examples)
        bias = -logq * tf.math.log(probability)
    if remove_accidental_hits:
        left_out = _accidental_hits(item_keys, rows=tf.shape(queries)[0], first_row=first_row)
    return softmax_loss(
        queries / temperature, items, bias=bias, left_out=left_out, first_row=first_row, precision=precision
    )


def contrastive(
    first: tf.Tensor,
    second: tf.Tensor,
    *,
    temperature: tf.Tensor | float,
    twins: tf.Tensor | None = None,
    first_row: int = 0,
    precision: Precision = "float32",
) -> tf.Tensor:
    """L_self: the softmax of each item's second view among the second views of all items of the batch.

    Args:
        first: float [n, D]; the first views.
        second: float [N, D]; the second views; row first_row + i is of the item of row i of `first`.
        temperature: Divides the scores.
        twins: bool [n, N]; true where the column's item is no negative of the row's. A row's own column is ignored.
        first_row: This replica's first row of the global batch.
        precision: Of the gradient's products.
    """
    left_out = None if twins is None else _without_own(tf.where(twins), first_row)
    return softmax_loss(first / temperature, second, left_out=left_out, first_row=first_row, precision=precision)


def _accidental_hits(item_keys: tf.Tensor, *, rows: tf.Tensor, first_row: int) -> tf.Tensor:
    """Where a column holds a row's item but isn't the row's own: int64 [P, 2], (row, column).

    They are few, so listing them is cheaper than comparing every row with every column.
    """
    _, group = tf.unique(item_keys, out_idx=tf.int64)
    order = tf.argsort(group, stable=True)
    copies = tf.RaggedTensor.from_value_rowids(tf.cast(order, tf.int64), tf.gather(group, order), validate=False)
    columns = tf.gather(copies, group[first_row : first_row + rows])
    return _without_own(tf.stack([columns.value_rowids(), columns.values], axis=1), first_row)


def _without_own(places: tf.Tensor, first_row: int) -> tf.Tensor:
    """Those of [P, 2] that are not a row's own column, which is never left out."""
    return tf.boolean_mask(places, places[:, 1] - places[:, 0] != first_row)
