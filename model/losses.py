"""The two losses: the corrected in-batch softmax and the contrastive one.

Shapes: N rows of a batch, D embedding dimensions. Both return the mean over the rows, float32 [].
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
) -> tf.Tensor:
    """L_main: the softmax of each query's item among all items of the batch.

    Popular items are in a batch more often, so as negatives they are punished too much; the correction subtracts
    logq * log(train_count / train_examples) from the logits of every column, the positive's too (Yi et al., RecSys
    2019, with exact counts in place of estimates).

    Args:
        queries: float32 [N, D].
        items: float32 [N, D]; row i is the item of query i.
        item_keys: int64 [N]; equal for equal items.
        train_count: int64 [N]; training examples that hold the item.
        train_examples: All training examples.
        temperature: Divides the scores.
        logq: Strength of the correction; 0: none.
        remove_accidental_hits: Leave other rows' copies of a query's item out of its negatives.
    """
    logits = tf.matmul(queries / temperature, items, transpose_b=True)
    if logq:
        probability = tf.cast(tf.maximum(train_count, 1), tf.float32) / float(train_examples)
        logits -= logq * tf.math.log(probability)[tf.newaxis, :]
    if remove_accidental_hits:
        logits = _leave_out(logits, tf.equal(item_keys[:, tf.newaxis], item_keys[tf.newaxis, :]))
    return _softmax_of_diagonal(logits)


def contrastive(
    first: tf.Tensor,
    second: tf.Tensor,
    *,
    temperature: tf.Tensor | float,
    twins: tf.Tensor | None = None,
) -> tf.Tensor:
    """L_self: the softmax of each item's second view among the second views of all items of the batch.

    Args:
        first: float32 [N, D]; the first views.
        second: float32 [N, D]; the second views, in the same order.
        temperature: Divides the scores.
        twins: bool [N, N]; true where the column's item is no negative of the row's. The diagonal is ignored.
    """
    logits = tf.matmul(first / temperature, second, transpose_b=True)
    if twins is not None:
        logits = _leave_out(logits, twins)
    return _softmax_of_diagonal(logits)


def _leave_out(logits: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Takes columns out of rows, but never a row's own."""
    others = tf.linalg.set_diag(columns, tf.zeros(tf.shape(columns)[:1], tf.bool))
    return tf.where(others, _NEVER, logits)


def _softmax_of_diagonal(logits: tf.Tensor) -> tf.Tensor:
    labels = tf.range(tf.shape(logits)[0])
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
