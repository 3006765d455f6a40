"""TensorFlow's devices and threads while a model is trained."""

import os

import tensorflow as tf

_VARIABLE = "TF_NUM_INTRAOP_THREADS"
"""TensorFlow's own, which it reads where nothing is set."""


def use_both_of_two_processors() -> None:
    """On two processors gives each operation one thread, where TensorFlow would give it both.

    The two towers don't wait for each other, nor the two losses, and neither do most gradients, so two operations run
    side by side. On more processors nothing was measured and nothing is set: there, threads of an operation come from
    a pool that all operations share. Nor is anything set where that was done before, or TensorFlow began to compute.
    """
    if _processors() != 2 or _VARIABLE in os.environ or tf.config.threading.get_intra_op_parallelism_threads():
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
    except RuntimeError:  # its threads are there
        return


def has_gpus() -> bool:
    """Whether TensorFlow computes on GPUs."""
    return bool(tf.config.list_logical_devices("GPU"))


def preparing_threads() -> int:
    """How many batches are read, or prepared, at a time beside the steps: two, of many processors half as many.

    What comes out, and in which order, doesn't depend on it. On more than two processors it was not measured.
    """
    return max(2, _processors() // 2)


def _processors() -> int:
    """Those that this process may run on, as TensorFlow counts them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
