"""TensorFlow's errors, in one line."""

import errno
import os

import pytest
import tensorflow as tf

from model.network.example_files import example_parser
from model.network.tensorflow_error import in_memory, is_of_reading, reason_of, written_to
from stage.errors import StageError

FULL = (
    "{{function_node __wrapped__WriteSummary_device_/job:localhost/replica:0/task:0/device:CPU:0}} "
    "/model/logs/events.v2; No space left on device\n\tFailed to flush 11 events [Op:WriteSummary]"
)
AT_A_NODE = (
    "Graph execution error:\n\nDetected at node allgather/CollectiveGatherV2 defined at (most recent call last):\n"
    '  File "model/training/training_step.py", line 127, in _run_replicas\n\n'
)


def test_a_pipeline_is_no_part_of_the_reason():
    failing = tf.data.Dataset.range(1).map(lambda n: tf.gather([0, 0], n + 7))
    with pytest.raises(tf.errors.InvalidArgumentError, match="user-defined function") as raised:
        next(iter(failing))
    assert reason_of(raised.value) == "indices = 7 is not in [0, 2)"
    assert not is_of_reading(raised.value)  # it blames no file


def test_an_example_that_cannot_be_parsed_is_a_matter_of_the_files():
    damaged = tf.data.Dataset.from_tensors([b"no example"]).map(example_parser([], scalars=["item_id"]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="Could not parse example") as raised:
        next(iter(damaged))
    assert is_of_reading(raised.value)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "Socket closed\nAdditional GRPC error information from remote target /job:worker/replica:0/task:0 while "
            "calling /tensorflow.WorkerService/RecvBuf:\n:UNKNOWN:Error received from peer  {grpc_status:14}",
            "Socket closed",
        ),
        ("Deadline Exceeded\n\nRPC: /tensorflow.CoordinationService/Heartbeat", "Deadline Exceeded"),
        (
            "Error reported from /job:worker/task:1: The following tasks are unhealthy (stopped sending heartbeats):\n"
            "/job:worker/replica:0/task:1\nThe tasks have crashed. Check the task logs for an earlier error.",
            "Error reported from /job:worker/task:1: The following tasks are unhealthy (stopped sending heartbeats)",
        ),
    ],
)
@pytest.mark.parametrize("head", ["", AT_A_NODE], ids=["bare", "in a graph"])
def test_what_ended_another_worker_is_told_and_not_the_advice_behind_it(head, said, reason):
    """As TensorFlow 2.21 told of workers that were killed, and of ones that were stopped."""
    message = (
        f"{head}Collective ops is aborted by: {said}\nThe error could be from a previous operation. Restart your "
        "program to reset.\n\t [[{{node allgather/CollectiveGatherV2}}]] [Op:__inference_run_6332]"
    )
    assert reason_of(tf.errors.UnavailableError(None, None, message)) == reason


def test_a_full_disk_is_no_lack_of_memory():
    expected = r"^/model/logs/events\.v2; No space left on device$"
    with pytest.raises(StageError, match=expected), in_memory("a step", remedy="lower train.batch_size"):
        raise tf.errors.ResourceExhaustedError(None, None, FULL)


@pytest.mark.parametrize(
    ("said", "reason"), [("Unable to allocate 3 TiB", "Unable to allocate 3 TiB"), ("", "no reason")]
)
def test_arrays_that_the_memory_does_not_hold_are_one_line(said, reason):
    with (
        pytest.raises(StageError, match=rf"^a step: it doesn't fit into memory \({reason}.*\); lower train"),
        in_memory("a step", remedy="lower train.batch_size"),
    ):
        raise MemoryError(said)


def test_files_that_cannot_be_written_are_one_line_that_names_the_output(tmp_path):
    (tmp_path / "file").touch()
    module = tf.Module()
    module.number = tf.Variable(1.0)
    expected = r"^gs://b/export: cannot be written: [^\n]*/file is not a directory$"
    with pytest.raises(StageError, match=expected), written_to("gs://b/export"):
        tf.saved_model.save(module, str(tmp_path / "file" / "export"))
    with pytest.raises(StageError, match=r"^out: cannot be written: No space left on device$"), written_to("out"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # of a write, which names no file


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("503\n\t [[{{node IteratorGetNext}}]]", True),
        ("1 root error(s) found.\n  (0) INTERNAL: 503\n\t [[{{node IteratorGetNext}}]]\n  (1) CANCELLED: x", True),
        (
            "a\n  (0) UNAVAILABLE: gone\n\t [[{{node Gather}}]]\n  (1) CANCELLED: x\n\t [[{{node IteratorGetNext}}]]",
            False,
        ),
        ("Collective ops is aborted by: 503\n\t [[{{node IteratorGetNext}}]]", False),
    ],
)
def test_an_error_of_reading_is_told_from_another_worker_s_end(message, expected):
    assert is_of_reading(tf.errors.UnavailableError(None, None, message)) == expected


def test_of_several_errors_the_first_is_told():
    message = (
        "2 root error(s) found.\n  (0) DATA_LOSS: cut\n\t [[{{node Next}}]]\n  (1) CANCELLED: x\n0 errors ignored."
    )
    assert reason_of(tf.errors.DataLossError(None, None, message)) == "DATA_LOSS: cut"
    assert reason_of(tf.errors.DataLossError(None, None, "")) == "no reason given"
