"""The two losses: the corrected in-batch softmax and the contrastive one.

Each is of the examples of a replica's batch, against the items of the global batch: the same, with one replica. It
returns the sum over these examples / those of the global batch, float []: added over the replicas, the mean.

Shapes: n examples of a replica, N of the global batch, Q queries of the n, M items of the N and of uniform negatives, F
different first views of the n, G second ones of the N, D embedding dimensions, P places that are left out.
"""

import tensorflow as tf

from features.spec.training import Precision
from model.network.row_ids import row_ids
from model.training.columns import Columns
from model.training.softmax_loss import softmax_loss


def in_batch_softmax(
    queries: tf.Tensor,
    columns: Columns,
    *,
    query_of: tf.Tensor,
    column_of: tf.Tensor,
    examples: int,
    temperature: tf.Tensor | float,
    logq: float,
    remove_accidental_hits: bool,
    copies_differ: bool,
    precision: Precision,
) -> tf.Tensor:
    """L_main: the softmax of each query's item among all items of the batch, each as often as it is there.

    Popular items are in a batch more often, so as negatives they are punished too much; the correction subtracts
    logq * log(frequency) from the logits of every column, the positive's too (Yi et al., RecSys 2019, with exact counts
    in place of estimates).

    Args:
        queries: float [Q, D].
        columns: The batch's items, M columns.
        query_of: int64 [n]; which of the queries an example has.
        column_of: int64 [n]; which of the columns.
        examples: N.
        temperature: Divides the scores.
        logq: Strength of the correction; 0: none.
        remove_accidental_hits: Leave other examples' copies of an example's item out of its negatives.
        copies_differ: The items of a key have different embeddings, as masked ones do. Then every example must have a
            query of its own, number i that of example i, and every item that is an example's stand for one. Else no
            two columns may have one key.
        precision: Of the gradient's products.
    """
    bias = left_out = None
    if logq:
        bias = -logq * tf.math.log(tf.cast(columns.frequency, queries.dtype))
    if remove_accidental_hits and copies_differ:
        left_out = _accidental_hits(columns.keys, column_of)
    loss = softmax_loss(
        queries / temperature,
        columns.embeddings,
        row=query_of,
        column=column_of,
        bias=bias,
        copies=columns.copies,
        others_left_out=remove_accidental_hits,
        left_out=left_out,
        precision=precision,
    )
    return loss / examples


def contrastive(
    first: tf.Tensor,
    second: tf.Tensor,
    *,
    first_of: tf.Tensor,
    second_of: tf.Tensor,
    copies: tf.Tensor,
    temperature: tf.Tensor | float,
    twins: tf.Tensor | None,
    precision: Precision,
) -> tf.Tensor:
    """L_self: the softmax of each item's second view among the second views of all items of the batch.

    Args:
        first: float [F, D]; first views.
        second: float [G, D]; second views.
        first_of: int64 [n]; which of the first views an item has.
        second_of: int64 [n]; which of the second views.
        copies: int64 [G]; items of the global batch, N in all, that a second view stands for.
        temperature: Divides the scores.
        twins: bool [F, G]; true where the column's item is no negative of the row's. A row's own column is ignored.
            Then every item must have views of its own, number i of `first` that of item i.
        precision: Of the gradient's products.
    """
    loss = softmax_loss(
        first / temperature,
        second,
        row=first_of,
        column=second_of,
        copies=tf.cast(copies, first.dtype),
        left_out=None if twins is None else _without_own(tf.where(twins), second_of),
        precision=precision,
    )
    return loss / tf.cast(tf.reduce_sum(copies), first.dtype)


def _accidental_hits(keys: tf.Tensor, column_of: tf.Tensor) -> tf.Tensor:
    """Where a column is an example's item but not its own copy of it: int64 [P, 2], (example, column).

    They are few, so listing them is cheaper than comparing every example with every column.
    """
    _, group = tf.unique(keys, out_idx=tf.int64)
    order = tf.argsort(group, stable=True)
    copies = tf.RaggedTensor.from_value_rowids(tf.cast(order, tf.int64), tf.gather(group, order), validate=False)
    found = tf.gather(copies, tf.gather(group, column_of))
    return _without_own(tf.stack([row_ids(found), found.values], axis=1), column_of)


def _without_own(indices: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
    """Those of [P, 2] that are not a row's own column, int64 [n], which is never left out."""
    return tf.gather(indices, tf.where(indices[:, 1] != tf.gather(own, indices[:, 0]))[:, 0])
