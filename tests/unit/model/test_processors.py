"""How many threads an operation of a training has."""

import os
import subprocess
import sys

import pytest
import tensorflow as tf

from model.training import processors

CONNECT = """
import os
import tensorflow as tf
from features.spec.training import Train
from model.training import processors, workers
allowed = sorted(os.sched_getaffinity(0))
for count in range(1, len(allowed[:2]) + 1):
    os.sched_setaffinity(0, allowed[:count])
    assert processors._processors() == count
processors._processors = lambda: 2
workers.connect(Train())
print(tf.config.threading.get_intra_op_parallelism_threads())
"""


def test_an_operation_of_a_training_has_one_of_two_processors():
    """In a process of its own, since threads can be set once in each."""
    env = {key: value for key, value in os.environ.items() if key not in ("TF_NUM_INTRAOP_THREADS", "TF_CONFIG")}
    done = subprocess.run([sys.executable, "-c", CONNECT], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


@pytest.mark.parametrize(
    ("count", "before", "variable", "threads"),
    [(2, 0, None, 1), (4, 0, None, 0), (2, 2, None, 2), (2, 0, "2", 0)],  # 0: as TensorFlow decides, by the variable
)
def test_what_was_set_before_stays_and_so_does_what_more_processors_have(monkeypatch, count, before, variable, threads):
    found = [before]
    monkeypatch.setattr(processors, "_processors", lambda: count)
    monkeypatch.setattr(tf.config.threading, "get_intra_op_parallelism_threads", lambda: found[-1])
    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", found.append)
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    if variable is not None:
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", variable)
    processors.use_both_of_two_processors()
    assert found[-1] == threads


def test_where_tensorflow_has_its_threads_nothing_is_set(monkeypatch):
    def fail(_):
        raise RuntimeError("Intra op parallelism cannot be modified after initialization.")

    monkeypatch.setattr(processors, "_processors", lambda: 2)
    monkeypatch.setattr(tf.config.threading, "get_intra_op_parallelism_threads", lambda: 0)
    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", fail)
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    processors.use_both_of_two_processors()


@pytest.mark.parametrize(("count", "threads"), [(1, 2), (2, 2), (5, 2), (16, 8)])
def test_batches_are_made_by_half_of_many_processors(monkeypatch, count, threads):
    monkeypatch.setattr(processors, "_processors", lambda: count)
    assert processors.preparing_threads() == threads
