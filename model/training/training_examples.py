"""The examples of a training split, as one replica reads them: decoded at once and kept, or as their batches come.

What is kept is each query and item once, so that a batch is a few gathers. Both ways give the same batches.

Shapes: B rows of a batch, F files of a stream, N rows of some files.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.dataset import ITEM_TRAIN_COUNT, Dataset
from features.spec.training import Train
from model.network.example_files import example_parser, readable
from model.training.kept_examples import Examples, kept_examples, serialized
from model.training.stream_files import stream_files
from model.training.training_batch import id_keys

QUERY_KEY, ITEM_KEY = "query_key", "item_key"
"""Of decoded examples: their ids' `id_keys`. In session mode there is none of queries: each example is one."""


@dataclass(frozen=True, kw_only=True)
class TrainingExamples:
    """What a replica reads of the training split."""

    dataset: Dataset
    streams: range
    """The numbers of the replica's streams."""
    all_streams: int
    """How many there are, of all replicas."""
    files: npt.NDArray[Any]
    """[streams, F, ...]: a file, as `rows` takes it."""
    counts: npt.NDArray[np.int64]
    """[streams, F]: how many rows it has."""
    rows: Callable[[tf.Tensor], tf.data.Dataset]
    """Some files -> one tensor [N], a number or string for each of their rows."""
    decode: Callable[[tf.Tensor], tuple[Examples, tf.Tensor, tf.Tensor]]
    """Rows [B] of any files -> some queries and items, and which of the queries and of the items the rows have, int64
    [B] each."""


def training_examples(
    dataset: Dataset, train: Train, *, keep: bool, replica: int = 0, replicas: int = 1
) -> TrainingExamples:
    """The examples of every replicas-th stream.

    Args:
        dataset: Whose training split is read.
        train: input_streams.
        keep: Decode the files at once, and keep that in memory.
        replica: Number of this replica.
        replicas: How many there are.

    Raises:
        StageError: As `stream_files`, or if a file that is to be kept can't be read.
        UsageError: As `stream_files`.
    """
    names = stream_files(dataset, train, replicas=replicas)
    streams = len(names)
    mine, names = range(replica, streams, replicas), names[replica::replicas]
    with readable(dataset.directory):
        files, counts, rows, decode = (_kept if keep else _streamed)(names, dataset)
    return TrainingExamples(
        dataset=dataset, streams=mine, all_streams=streams, files=files, counts=counts, rows=rows, decode=decode
    )


_Rows: TypeAlias = Callable[[tf.Tensor], tf.data.Dataset]
_Decode: TypeAlias = Callable[[tf.Tensor], tuple[Examples, tf.Tensor, tf.Tensor]]
_Source: TypeAlias = tuple[npt.NDArray[Any], npt.NDArray[np.int64], _Rows, _Decode]
"""As TrainingExamples has them: files, counts, rows, decode."""


def _streamed(names: npt.NDArray[np.str_], dataset: Dataset) -> _Source:
    """Reads the files as their rows are asked for."""
    parse = _keyed_parser(dataset)

    def decode(records: tf.Tensor) -> tuple[Examples, tf.Tensor, tf.Tensor]:
        every = tf.range(tf.size(records, tf.int64))
        return parse(records), every, every

    counts = np.array([[dataset.count_examples([name]) for name in files] for files in names])
    return names, counts, serialized, decode


def _kept(names: npt.NDArray[np.str_], dataset: Dataset) -> _Source:
    """Reads the files at once; their rows are numbered from then on."""
    filled = [name for name in names.flat if dataset.count_examples([name])]
    kept = kept_examples(
        filled,
        _keyed_parser(dataset),
        query_key=None if dataset.spec.session else QUERY_KEY,
        item_key=ITEM_KEY,
        of_items=(ITEM_TRAIN_COUNT, *(f.key for f in dataset.features("item"))),
        total=dataset.count_examples(filled),
    )
    size_of = dict(zip(filled, kept.sizes, strict=True))
    sizes = np.array([size_of.get(name, 0) for name in names.flat])
    ends = np.cumsum(sizes)

    def rows(files: tf.Tensor) -> tf.data.Dataset:
        numbers = tf.ragged.range(files[:, 0], files[:, 1]).values
        # Not from_tensors, which TensorFlow 2.21 takes for a source of chance: where operations are deterministic, as
        # in `train`, one of it makes all reading wait for who asks for a batch.
        return tf.data.Dataset.from_tensor_slices(numbers[tf.newaxis])

    def decode(rows: tf.Tensor) -> tuple[Examples, tf.Tensor, tf.Tensor]:
        queries = rows if kept.query_of is None else tf.cast(tf.gather(kept.query_of, rows), tf.int64)
        return kept.queries | kept.items, queries, tf.cast(tf.gather(kept.item_of, rows), tf.int64)

    files = np.stack([ends - sizes, ends], axis=1).reshape(*names.shape, 2)
    return files, sizes.reshape(names.shape), rows, decode


def _keyed_parser(dataset: Dataset) -> Callable[[tf.Tensor], Examples]:
    """Reads what a batch has of serialized examples [B]."""
    ids = {"item_id": ITEM_KEY} if dataset.spec.session else {"query_id": QUERY_KEY, "item_id": ITEM_KEY}
    parse = example_parser([*dataset.query_inputs(), *dataset.features("item")], scalars=[*ids, ITEM_TRAIN_COUNT])

    def keyed(records: tf.Tensor) -> Examples:
        found = parse(records)
        for name, key in ids.items():
            found[key] = id_keys(found.pop(name))
        return found

    return keyed
