"""Threads can be set once in a process, so each case has one of its own."""

import os
import subprocess
import sys

import pytest

COUNT = "import tensorflow as tf; print(tf.config.threading.get_intra_op_parallelism_threads())"
SHARE = "from model.processors import share_processors; share_processors()"


@pytest.mark.parametrize(
    ("variable", "threads"),
    [(None, max(1, len(os.sched_getaffinity(0)) // 2)), ("3", 0)],  # TensorFlow reads the variable itself
)
def test_an_operation_has_half_of_the_processors_unless_a_variable_says_otherwise(variable, threads):
    env = {key: value for key, value in os.environ.items() if key != "TF_NUM_INTRAOP_THREADS"}
    env |= {} if variable is None else {"TF_NUM_INTRAOP_THREADS": variable}
    code = f"{SHARE}\n{COUNT}"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == f"{threads}\n"
