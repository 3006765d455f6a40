"""Which training files form which stream of a batch's rows."""

import numpy as np
import numpy.typing as npt

from features.dataset import Dataset
from features.spec_training import Train
from stage.errors import StageError, UsageError


def stream_files(dataset: Dataset, train: Train, *, replicas: int = 1) -> npt.NDArray[np.str_]:
    """The training files of each stream, [streams, F].

    There are `input_streams` of them, each of as many files and with a row; or, where that can't be, as of a log with
    few queries, a single one: streams of more and of fewer files would show the rows of the latter more often.

    Args:
        dataset: Whose training split is read.
        train: The section of the spec.
        replicas: How many are to share the streams out.

    Raises:
        StageError: If there is no training example.
        UsageError: If the replicas can't share them out.
    """
    names = dataset.example_files("train")
    filled = [name for name in names if dataset.count_examples([name])]
    if not filled:
        raise StageError(f"{dataset.directory}/train: expected training examples, found none; build the dataset again")
    alike = [np.reshape(f, [-1, train.input_streams]).T for f in (names, filled) if len(f) % train.input_streams == 0]
    streams = next(found for found in [*alike, np.array([filled])] if all(map(dataset.count_examples, found)))
    if len(streams) % replicas:
        raise UsageError(
            f"train.input_streams: expected a multiple of the {replicas} replicas, got {len(streams)} (of the "
            f"{len(filled)} files with examples in {dataset.directory}/train); set it to a multiple of those which "
            "divides these, or train in one process on one device (CUDA_VISIBLE_DEVICES)"
        )
    return streams
