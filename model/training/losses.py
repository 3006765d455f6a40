"""The two losses: the corrected in-batch softmax and the contrastive one.

Each is of the examples of a replica's batch, against the items of the global batch: the same, with one replica. It
returns the sum over these examples / those of the global batch, float []: added over the replicas, the mean.

Shapes: n examples of a replica, N of the global batch, Q queries of the n, M items of the N with the uniform negatives,
F different first views of the n, G second ones of the N, D embedding dimensions, U rows that are taken, P places that
are left out.
"""

from collections.abc import Callable

import tensorflow as tf

from features.spec.training import Precision
from model.network.row_ids import row_ids
from model.training.softmax_loss import softmax_loss
from model.training.training_batch import distinct


def in_batch_softmax(
    queries: tf.Tensor,
    items: tf.Tensor,
    *,
    query_of: tf.Tensor,
    item_of: tf.Tensor,
    copies: tf.Tensor,
    item_keys: tf.Tensor,
    frequency: tf.Tensor,
    temperature: tf.Tensor | float,
    logq: float,
    remove_accidental_hits: bool,
    copies_differ: bool,
    keys_differ: bool,
    negatives: int,
    precision: Precision,
) -> tf.Tensor:
    """L_main: the softmax of each query's item among all items of the batch, each as often as it is there.

    Uniform negatives are items of the batch too, though no example's.

    Popular items are in a batch more often, so as negatives they are punished too much; the correction subtracts
    logq * log(frequency) from the logits of every column, the positive's too (Yi et al., RecSys 2019, with exact counts
    in place of estimates).

    Args:
        queries: float [Q, D].
        items: float [M, D].
        query_of: int64 [n]; which of the queries an example has.
        item_of: int64 [n]; which of the items.
        copies: int64 [M]; examples of the global batch, N in all, that an item stands for; 1 for one of `negatives`.
        item_keys: int64 [M]; equal for equal items.
        frequency: float [M]; from `column_frequency`, or that times any constant.
        temperature: Divides the scores.
        logq: Strength of the correction; 0: none.
        remove_accidental_hits: Leave other examples' copies of an example's item out of its negatives.
        copies_differ: The items of a key have different embeddings, as masked ones do. Then every example must have a
            query of its own, number i that of example i, and every item that is an example's stand for one.
        keys_differ: No two of the items are of one key, as on a single replica without uniform negatives.
        negatives: How many of the items are no example's, but drawn from the corpus to be negatives alone.
        precision: Of the gradient's products.
    """
    copies = tf.cast(copies, items.dtype)
    examples = tf.reduce_sum(copies) - negatives
    if not (copies_differ or keys_differ):
        # What cancels in an example's own column does so in float32. In several columns bfloat16's rounding was 11% of
        # the gradient of nearly certain pairs at temperature 0.07, as `test_losses.py` has them.
        which, firsts = distinct(item_keys)
        copies = tf.math.unsorted_segment_sum(copies, which, tf.size(firsts))
        items, frequency, item_of = _rows(items, firsts), tf.gather(frequency, firsts), tf.gather(which, item_of)
    bias = left_out = None
    if logq:
        bias = -logq * tf.math.log(tf.cast(frequency, items.dtype))
    if remove_accidental_hits and copies_differ:
        left_out = _accidental_hits(item_keys, item_of)
    loss = softmax_loss(
        queries / temperature,
        items,
        row=query_of,
        column=item_of,
        bias=bias,
        copies=copies,
        others_left_out=remove_accidental_hits,
        left_out=left_out,
        precision=precision,
    )
    return loss / examples


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


def _rows(values: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """The rows at indices, with a gradient that isn't sparse: TensorFlow's gather of all replicas takes no such one.

    Args:
        values: [M, D].
        indices: int64 [U], distinct.
    """

    @tf.custom_gradient
    def take(values: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        rows = tf.shape(values)[0]
        return tf.gather(values, indices), lambda upstream: tf.math.unsorted_segment_sum(upstream, indices, rows)

    return take(values)


def _accidental_hits(item_keys: tf.Tensor, item_of: tf.Tensor) -> tf.Tensor:
    """Where an item is an example's but not its own copy of it: int64 [P, 2], (example, item).

    They are few, so listing them is cheaper than comparing every example with every item.
    """
    _, group = tf.unique(item_keys, out_idx=tf.int64)
    order = tf.argsort(group, stable=True)
    copies = tf.RaggedTensor.from_value_rowids(tf.cast(order, tf.int64), tf.gather(group, order), validate=False)
    items = tf.gather(copies, tf.gather(group, item_of))
    return _without_own(tf.stack([row_ids(items), items.values], axis=1), item_of)


def _without_own(indices: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
    """Those of [P, 2] that are not a row's own column, int64 [n], which is never left out."""
    return tf.gather(indices, tf.where(indices[:, 1] != tf.gather(own, indices[:, 0]))[:, 0])
