"""Threads can be set once in a process, so each case has one of its own."""

import os
import subprocess
import sys

import pytest

CONNECT = """
import tensorflow as tf
from features.spec_training import Train
from model import processors, workers
processors._processors = lambda: {processors}
tf.config.threading.set_intra_op_parallelism_threads({before})
workers.connect(Train())
print(tf.config.threading.get_intra_op_parallelism_threads())
"""


@pytest.mark.parametrize(
    ("processors", "before", "variable", "threads"),
    [(2, 0, None, 1), (4, 0, None, 0), (2, 2, None, 2), (2, 0, "2", 0)],  # 0: as TensorFlow decides, by the variable
)
def test_an_operation_of_a_training_has_one_of_two_processors(processors, before, variable, threads):
    env = {key: value for key, value in os.environ.items() if key not in ("TF_NUM_INTRAOP_THREADS", "TF_CONFIG")}
    env |= {} if variable is None else {"TF_NUM_INTRAOP_THREADS": variable}
    code = CONNECT.format(processors=processors, before=before)
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == f"{threads}\n"
