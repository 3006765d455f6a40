"""What the replicas of a training step tell each other: one replica a device, on one worker or many.

All replicas call a function at the same point of the step. With one replica none adds anything to the graph.

Shapes: b rows of a replica, B rows of the global batch, U rows of a table that a step touches, R rows of a table,
D embedding dimension.
"""

import tensorflow as tf

from model.network.add_at import add_at
from model.network.touched_rows import TouchedRows


def count() -> int:
    """How many replicas train together."""
    return int(tf.distribute.get_replica_context().num_replicas_in_sync)


def number() -> int:
    """Which of them this one is; in the order of the workers, then of a worker's devices."""
    return int(tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group) or 0)


def of_all(rows: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas, in the order of the replicas; has a gradient.

    Args:
        rows: [b, ...], each replica's own; on some replica there must be one, else TensorFlow 2.21 ends with SIGSEGV.

    Returns:
        [B, ...].
    """
    if count() == 1:
        return rows
    # An input of the graph has no device yet, and all_gather sends to the devices of what it gets.
    return tf.distribute.get_replica_context().all_gather(tf.identity(rows), axis=0)


def rows_before(rows: tf.Tensor) -> tf.Tensor | int:
    """How many rows `of_all` puts before those of this replica, int64 [].

    Args:
        rows: How many this replica has, int64 [].
    """
    if count() == 1:
        return 0
    return tf.reduce_sum(of_all(rows[tf.newaxis])[: number()])


def total(values: tf.Tensor) -> tf.Tensor:
    """The sum over the replicas."""
    if count() == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def reduce_rows(table: tf.Variable, rows: TouchedRows, *, gradient: tf.Tensor) -> tuple[TouchedRows, tf.Tensor]:
    """The rows that any replica touched, and the sums of their gradients: the same bits on every replica.

    A row's gradients are added replica by replica. In one sum over all of them a GPU would add in any order, and the
    replicas' tables would drift apart.

    Args:
        table: [R, D].
        rows: What this replica touched.
        gradient: [U, D], by this replica's loss.
    """
    if count() == 1:
        return rows, gradient
    sizes = of_all(tf.size(rows.ids)[tf.newaxis])
    ids, gradients = _of_each(rows.ids, sizes), _of_each(gradient, sizes)
    distinct, indices = tf.unique(tf.concat(ids, axis=0), out_idx=tf.int64)
    reduced = tf.zeros([tf.size(distinct), table.shape[1]], gradient.dtype)
    for index, part in zip(tf.split(indices, sizes, num=count()), gradients, strict=True):
        reduced = add_at(reduced, index[:, tf.newaxis], values=part)
    return TouchedRows(distinct, tf.gather(table, distinct)), reduced


def _of_each(rows: tf.Tensor, sizes: tf.Tensor) -> list[tf.Tensor]:
    """The rows of each replica. It may be that none has any, so each sends one more."""
    sent = tf.pad(rows, [[0, 1]] + [[0, 0]] * (rows.shape.rank - 1))
    return [part[:-1] for part in tf.split(of_all(sent), sizes + 1, num=count())]
