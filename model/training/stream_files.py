"""Which training files form which stream of a batch's rows."""

import numpy as np
import numpy.typing as npt

from features.dataset import Dataset
from features.spec.training import Train
from stage.errors import StageError, UsageError


def stream_files(dataset: Dataset, train: Train, *, replicas: int = 1) -> npt.NDArray[np.str_]:
    """The training files of each stream, [streams, files].

    There are `input_streams` of them, each of as many files and with a row; or, where that can't be, as of a log with
    few queries, a single one. Streams of more and of fewer files would show the rows of the latter more often, as
    streams do whose files hold more and fewer rows.

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
        raise UsageError(_not_shared(len(filled), dataset.directory, train=train, replicas=replicas))
    return streams


def _not_shared(files: int, directory: str, *, train: Train, replicas: int) -> str:
    """What is wrong with the streams of so many files with examples, and what would do."""
    fit = [n for n in range(replicas, files + 1, replicas) if files % n == 0 and train.batch_size % n == 0]
    instead = f"set it to {' or '.join(map(str, fit))}, or train" if fit else "train"
    return (
        f"train.input_streams: {replicas} replicas can't share out the {files} files with examples in "
        f"{directory}/train as {train.input_streams} streams; {instead} in one process on one device "
        "(CUDA_VISIBLE_DEVICES)"
    )
