"""Reading a dataset: examples, the corpus, and the streams of batches that training sees.

Shapes: B rows of a batch, I items of the corpus, S items of an SSL batch.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.dataset import TRAIN_COUNT, Dataset, EncodedFeature
from features.spec import Train
from model.draws import draw_key
from stage.errors import StageError

Features: TypeAlias = dict[str, tf.RaggedTensor]
"""Key of a feature -> [B, (values)]: int64 codes, float32 for a numeric one; none: missing, unknown or masked."""

_RECORDS_AT_ONCE = 1 << 16
_WHOLE_FILE = 1 << 40
_EPOCHS = 1 << 40


class TrainingBatch(NamedTuple):
    """One worker's share of a global batch of query-item examples."""

    row: tf.Tensor
    """int64 [B]: the example's row of the global batch."""
    query: Features
    """In session mode with the history."""
    item: Features
    item_key: tf.Tensor
    """int64 [B]: fingerprint of the item's id; equal ids, equal keys, on every worker."""
    train_count: tf.Tensor
    """int64 [B]: training examples that hold the item."""


@dataclass(frozen=True)
class Corpus:
    """Every item once, ordered by id."""

    ids: list[bytes]
    """[I]."""
    train_count: npt.NDArray[np.int64]
    """[I]: training examples that hold the item; 0 for a cold one."""
    features: Features

    def __len__(self) -> int:
        return len(self.ids)


@contextmanager
def readable(directory: str) -> Iterator[None]:
    """Turns TensorFlow's complaints about files into one line.

    Raises:
        StageError: If a file below the directory can't be read or an example in it isn't one of this dataset's.
    """
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError) as error:
        reason = (str(error.message).splitlines() or ["no reason given"])[0]
        raise StageError(
            f"{directory}: a record can't be read ({reason}); "
            "--verify names a damaged file, build-dataset makes it anew"
        ) from None


def features_spec(features: Sequence[EncodedFeature]) -> dict[str, tf.RaggedTensorSpec]:
    """The signature of these features, of any number of entities and values."""
    return {
        f.key: tf.RaggedTensorSpec([None, None], _dtype(f), ragged_rank=1, row_splits_dtype=tf.int64) for f in features
    }


def batch_spec(query: Sequence[EncodedFeature], item: Sequence[EncodedFeature]) -> TrainingBatch:
    """The signature of a training batch of these features."""
    column = tf.TensorSpec([None], tf.int64)
    return TrainingBatch(column, features_spec(query), features_spec(item), column, column)


def _dtype(feature: EncodedFeature) -> tf.DType:
    return tf.float32 if feature.kind == "numeric" else tf.int64


def example_parser(
    features: Sequence[EncodedFeature], *, scalars: Sequence[str] = ()
) -> Callable[[tf.Tensor], dict[str, Any]]:
    """A function from serialized tf.Examples to their features.

    Args:
        features: Which features to read.
        scalars: Further keys with one value an example: query_id, item_id (bytes) or item/train_count (int64).

    Returns:
        From bytes [B] to key -> ragged [B, (values)] for a feature, [B] for a scalar.
    """
    spec: dict[str, Any] = {f.key: tf.io.RaggedFeature(_dtype(f), row_splits_dtype=tf.int64) for f in features}
    for key in scalars:
        spec[key] = tf.io.FixedLenFeature([], tf.int64 if key == TRAIN_COUNT else tf.string)
    return lambda serialized: tf.io.parse_example(serialized, spec)


def read_corpus(dataset: Dataset) -> Corpus:
    """Reads every item into memory.

    Raises:
        StageError: If a file can't be read, the corpus is empty, or an item is there twice.
    """
    features = dataset.features("item")
    parse = example_parser(features, scalars=["item_id", TRAIN_COUNT])
    with readable(dataset.directory):
        records = tf.data.TFRecordDataset(dataset.corpus_files(), "GZIP").batch(_RECORDS_AT_ONCE)
        parts = list(records.map(parse))
    if not parts:
        raise StageError(f"{dataset.directory}/items: expected the items of the corpus, found none")
    ids = np.concatenate([part["item_id"].numpy() for part in parts])
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    twice = np.flatnonzero(ids[1:] == ids[:-1])
    if twice.size:
        raise StageError(f"{dataset.directory}/items: expected every item once, found {ids[twice[0]].decode()} twice")
    counts = np.concatenate([part[TRAIN_COUNT].numpy() for part in parts])[order]
    values = {f.key: tf.gather(tf.concat([part[f.key] for part in parts], axis=0), order) for f in features}
    return Corpus(ids.tolist(), counts, values)


def ssl_items(step: int, *, seed: int, corpus_size: int, batch_size: int) -> npt.NDArray[np.int64]:
    """The corpus positions that the SSL task sees in a step.

    Each time through, the corpus is shuffled anew and cut into whole batches, so no batch holds an item twice; what is
    left over is another part of it each time.

    Args:
        step: Which global batch.
        seed: `train.seed`.
        corpus_size: I.
        batch_size: S, at most I.

    Returns:
        int64 [S], distinct, in [0, I).
    """
    pass_number, batch = divmod(step, corpus_size // batch_size)
    order = _corpus_order(seed, pass_number, corpus_size)
    return order[batch * batch_size : (batch + 1) * batch_size]


@lru_cache(maxsize=1)
def _corpus_order(seed: int, pass_number: int, corpus_size: int) -> npt.NDArray[np.int64]:
    key = draw_key(seed, "ssl items", pass_number)
    return tf.random.experimental.stateless_shuffle(tf.range(corpus_size, dtype=tf.int64), key).numpy()


def training_batches(
    dataset: Dataset, train: Train, *, start_step: int = 0, worker: int = 0, workers: int = 1
) -> tf.data.Dataset:
    """The global batches from a step on, without end, as one worker sees them.

    The training files form `input_streams` streams. A stream reads its files in an order drawn anew every epoch, each
    file's rows in an order drawn anew, one file in memory at a time, and goes on with its next epoch inside a batch.
    Every global batch takes its equal share of rows from each stream, numbered by stream; a worker reads every
    workers-th stream.

    Args:
        dataset: Whose training split is read.
        train: batch_size, input_streams and seed.
        start_step: The first global batch.
        worker: Number of this worker.
        workers: How many there are.

    Returns:
        Elements are TrainingBatch.

    Raises:
        StageError: If the files don't divide into the streams or the streams into the workers, or a stream has no row.
    """
    shares, numbers = _shares(dataset, train, start_step=start_step, worker=worker, workers=workers)
    query, item = dataset.query_inputs(), dataset.features("item")
    parse = example_parser([*query, *item], scalars=["item_id", TRAIN_COUNT])

    def batch(records: tf.Tensor) -> TrainingBatch:
        found = parse(records)
        return TrainingBatch(
            row=numbers,
            query={f.key: found[f.key] for f in query},
            item={f.key: found[f.key] for f in item},
            item_key=tf.strings.to_hash_bucket_fast(found["item_id"], 2**63 - 1),
            train_count=found[TRAIN_COUNT],
        )

    return shares.map(batch, num_parallel_calls=2, deterministic=True).prefetch(4)


def batch_ids(dataset: Dataset, train: Train, step: int) -> list[tuple[str, str]]:
    """Query and item of each row of one global batch.

    Raises:
        StageError: As `training_batches`.
    """
    shares, _ = _shares(dataset, train, start_step=step)
    parse = example_parser([], scalars=["query_id", "item_id"])
    with readable(dataset.directory):
        found = parse(next(iter(shares)))
    columns = [[value.decode() for value in found[key].numpy()] for key in ("query_id", "item_id")]
    return list(zip(*columns, strict=True))


def _shares(
    dataset: Dataset, train: Train, *, start_step: int, worker: int = 0, workers: int = 1
) -> tuple[tf.data.Dataset, tf.Tensor]:
    """A worker's serialized rows of each global batch, bytes [B], and their numbers there, int64 [B]."""
    streams, files = train.input_streams, dataset.example_files("train")
    if not files or len(files) % streams:
        raise StageError(
            f"{dataset.directory}/train: expected a multiple of train.input_streams ({streams}) files, "
            f"found {len(files)}; set train.input_streams to a divisor of that"
        )
    if streams % workers:
        raise StageError(f"train.input_streams: expected a multiple of the {workers} workers, got {streams}")
    share = train.batch_size // streams
    mine = range(worker, streams, workers)
    with readable(dataset.directory):
        epoch, seen = np.transpose([_start(files[s::streams], row=start_step * share) for s in mine])
    numbers = tf.concat([tf.range(s * share, (s + 1) * share, dtype=tf.int64) for s in mine], axis=0)
    rows = (
        tf.data.Dataset.from_tensor_slices((np.reshape(files, [-1, streams]).T[mine], np.array(mine), epoch, seen))
        .interleave(
            lambda names, stream, epoch, seen: _stream(names, train.seed, stream, epoch).skip(seen).batch(share),
            cycle_length=len(mine),
            num_parallel_calls=2,
            deterministic=True,
        )
        .batch(len(mine))
        .map(lambda parts: tf.reshape(parts, [-1]))
    )
    return rows, numbers


def _start(files: list[str], *, row: int) -> tuple[int, int]:
    """The epoch in which a stream's row lies, and how many rows of that epoch come before it."""
    # Counting means reading, so a training that starts at the beginning only looks whether there is a row at all.
    rows = count_rows(files, at_most=-1 if row else 1)
    if rows == 0:
        raise StageError(f"{files[0]}: expected training examples in its input stream; lower train.input_streams")
    return divmod(row, rows) if row else (0, 0)


def _stream(names: tf.Tensor, seed: int, stream: tf.Tensor, first_epoch: tf.Tensor) -> tf.data.Dataset:
    """The rows of a stream from the beginning of an epoch on, without end.

    Args:
        names: Its files, string [F].
        seed: `train.seed`.
        stream: Its number.
        first_epoch: Where to start.
    """

    def one_file(epoch: tf.Tensor, file: tf.Tensor) -> tf.data.Dataset:
        key = draw_key(seed, "order of rows", stream, epoch, file)
        records = tf.data.TFRecordDataset(names[file], "GZIP").batch(_WHOLE_FILE)
        return records.map(lambda whole: tf.random.experimental.stateless_shuffle(whole, key))

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        key = draw_key(seed, "order of files", stream, epoch)
        order = tf.random.experimental.stateless_shuffle(tf.range(tf.size(names, tf.int64)), key)
        return tf.data.Dataset.from_tensor_slices(order).flat_map(lambda file: one_file(epoch, file))

    return tf.data.Dataset.range(first_epoch, _EPOCHS).flat_map(one_epoch).prefetch(1).unbatch()


def count_rows(files: list[str], *, at_most: int = -1) -> int:
    """Records in TFRecord files, counted no further than `at_most`."""
    if not files:
        return 0
    records = tf.data.TFRecordDataset(files, "GZIP").take(at_most)
    return int(records.reduce(np.int64(0), lambda count, _: count + 1))
