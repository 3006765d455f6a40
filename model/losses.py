"""The two losses: the corrected in-batch softmax and the contrastive one.

Each has a row for every row of a replica's batch, and a column for every row of the global batch: the same, with one
replica. It returns the sum over the rows / the number of columns, float []: added over the replicas, the mean.

Shapes: n rows of a replica, N of the global batch, D embedding dimensions.
"""

import tensorflow as tf

_NEVER = -1e9
"""A logit that leaves a column out: far below any other, yet finite."""


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
    """
    logits = tf.matmul(queries / temperature, items, transpose_b=True)
    if logq:
        probability = tf.cast(tf.maximum(train_count, 1), logits.dtype) / float(train_examples)
        logits -= logq * tf.math.log(probability)[tf.newaxis, :]
    if remove_accidental_hits:
        own_keys = item_keys[first_row : first_row + tf.shape(queries)[0]]
        logits = _leave_out(logits, tf.equal(own_keys[:, tf.newaxis], item_keys[tf.newaxis, :]), first_row)
    return _softmax_of_diagonal(logits, first_row)


def contrastive(
    first: tf.Tensor,
    second: tf.Tensor,
    *,
    temperature: tf.Tensor | float,
    twins: tf.Tensor | None = None,
    first_row: int = 0,
) -> tf.Tensor:
    """L_self: the softmax of each item's second view among the second views of all items of the batch.

    Args:
        first: float [n, D]; the first views.
        second: float [N, D]; the second views; row first_row + i is of the item of row i of `first`.
        temperature: Divides the scores.
        twins: bool [n, N]; true where the column's item is no negative of the row's. A row's own column is ignored.
        first_row: This replica's first row of the global batch.
    """
    logits = tf.matmul(first / temperature, second, transpose_b=True)
    if twins is not None:
        logits = _leave_out(logits, twins, first_row)
    return _softmax_of_diagonal(logits, first_row)


def _leave_out(logits: tf.Tensor, columns: tf.Tensor, first_row: int) -> tf.Tensor:
    """Takes columns out of rows, but never a row's own."""
    others = tf.linalg.set_diag(columns, tf.zeros(tf.shape(columns)[:1], tf.bool), k=first_row)
    return tf.where(others, tf.cast(_NEVER, logits.dtype), logits)


def _softmax_of_diagonal(logits: tf.Tensor, first_row: int) -> tf.Tensor:
    """The sum over the rows / columns, where row i is of class first_row + i."""
    labels = first_row + tf.range(tf.shape(logits)[0])
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    return tf.reduce_sum(losses) / tf.cast(tf.shape(logits)[1], logits.dtype)
