"""How TensorFlow's operations share the processors while a model is trained."""

import os

import tensorflow as tf

_VARIABLE = "TF_NUM_INTRAOP_THREADS"
"""TensorFlow's own, by which a user decides."""


def share_processors() -> None:
    """Has two operations at a time share the processors, where TensorFlow would give all of them to each.

    The two towers don't wait for each other, nor the two losses, and neither do most gradients. No result depends on
    it. To be called before TensorFlow computes anything; afterwards it does nothing.
    """
    if _VARIABLE in os.environ:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(max(1, _processors() // 2))
    except RuntimeError:  # its threads are there
        return


def _processors() -> int:
    """Those that this process may run on, as TensorFlow counts them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
