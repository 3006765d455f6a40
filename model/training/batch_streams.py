"""The streams of batches that training sees: a function of dataset, seed and step.

A training split is decoded once and its queries and items are kept, so that a batch is a few gathers; where that takes
too much memory, each batch is decoded as it comes. Both give the same batches.

Shapes: B rows of a batch, F files of a stream, N rows of a file or of all files.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.dataset import ITEM_TRAIN_COUNT, Dataset
from features.spec.training import Train
from model.network.draws import draw_key
from model.network.input import example_parser, readable
from model.training.kept_examples import Examples, kept_examples, serialized
from model.training.processors import preparing_threads
from model.training.ragged_rows import rows_at
from model.training.stream_files import stream_files
from model.training.training_batch import TrainingBatch, distinct, id_keys
from stage.manifest import File

_EPOCHS = 1 << 40
_QUERY_KEY, _ITEM_KEY = "query_key", "item_key"

Parser: TypeAlias = Callable[[tf.Tensor], Examples]


@dataclass(frozen=True, kw_only=True)
class _Source:
    """How files' rows are read."""

    files: npt.NDArray[Any]
    """[streams, F, ...]: a file, as `rows` takes it."""
    counts: npt.NDArray[np.int64]
    """[streams, F]: how many rows it has."""
    rows: Callable[[tf.Tensor], tf.data.Dataset]
    """Some files -> one tensor [N], a number or string for each of their rows."""
    decode: Callable[[tf.Tensor], tuple[Examples, tf.Tensor, tf.Tensor]]
    """Rows [B] of any files -> some queries and items, and which of the queries and of the items the rows have, int64
    [B] each."""


def training_batches(
    dataset: Dataset, train: Train, *, keep: bool, start_step: int = 0, replica: int = 0, replicas: int = 1
) -> tf.data.Dataset:
    """The global batches from a step on, without end, as one replica sees them.

    The training files form streams, as `stream_files` says. A stream reads its files in an order drawn anew every
    epoch, each file's rows in an order drawn anew, one file at a time, the next read ahead, and goes on with its next
    epoch inside a batch. Where all files are one stream, it reads `input_streams` of them at a time, whose rows it
    shuffles together. Every global batch takes its equal share of rows from each stream, numbered by stream; a replica
    reads every replicas-th stream.

    Args:
        dataset: Whose training split is read.
        train: batch_size, input_streams and seed.
        keep: Decode the files at once, and keep that in memory.
        start_step: The first global batch.
        replica: Number of this replica.
        replicas: How many there are.

    Returns:
        Elements are TrainingBatch.

    Raises:
        StageError: As `stream_files`.
        UsageError: The same.
    """
    names = stream_files(dataset, train, replicas=replicas)
    streams = len(names)
    mine, names = range(replica, streams, replicas), names[replica::replicas]
    query, item = dataset.query_inputs(), dataset.features("item")
    # In session mode every example is a query of its own.
    keys = {"item_id": _ITEM_KEY} if dataset.spec.session else {"query_id": _QUERY_KEY, "item_id": _ITEM_KEY}
    parse = example_parser([*query, *item], scalars=[*keys, ITEM_TRAIN_COUNT])

    def parse_keyed(records: tf.Tensor) -> Examples:
        found = parse(records)
        for name, key in keys.items():
            found[key] = id_keys(found.pop(name))
        return found

    share = train.batch_size // streams
    with readable(dataset.directory):
        source = (_kept if keep else _streamed)(names, parse_keyed, dataset=dataset)
    numbers = tf.concat([tf.range(s * share, (s + 1) * share, dtype=tf.int64) for s in mine], axis=0)
    every = tf.range(tf.size(numbers), dtype=tf.int64)

    def batch(rows: tf.Tensor) -> TrainingBatch:
        examples, queries, items = source.decode(rows)
        query_of, firsts = (
            (every, every) if dataset.spec.session else distinct(tf.gather(examples[_QUERY_KEY], queries))
        )
        queries = tf.gather(queries, firsts)
        item_of, firsts = distinct(tf.gather(examples[_ITEM_KEY], items))
        items = tf.gather(items, firsts)
        return TrainingBatch(
            row=numbers,
            query={f.key: rows_at(examples[f.key], queries) for f in query},
            query_of=query_of,
            item={f.key: rows_at(examples[f.key], items) for f in item},
            item_of=item_of,
            item_key=tf.gather(examples[_ITEM_KEY], items),
            train_count=tf.gather(examples[ITEM_TRAIN_COUNT], items),
        )

    rows = _shares(source, train, streams=mine, all_streams=streams, step=start_step)
    batches = rows.map(batch, num_parallel_calls=preparing_threads(), deterministic=True).prefetch(4)
    options = tf.data.Options()
    # What it would tune is set, and it times each element, each line of a file too.
    options.autotune.enabled = False
    return batches.with_options(options)


def training_files(dataset: Dataset) -> list[File]:
    """The gzipped files with training examples."""
    return [file for file in dataset.manifest.files if file.name.startswith("train/")]


def batch_ids(dataset: Dataset, train: Train, *, step: int) -> list[tuple[str, str]]:
    """Query and item of each row of one global batch.

    Raises:
        StageError: As `training_batches`.
    """
    names = stream_files(dataset, train)
    streams = len(names)
    parse = example_parser([], scalars=["query_id", "item_id"])
    with readable(dataset.directory):
        source = _streamed(names, parse, dataset=dataset)
        found = parse(next(iter(_shares(source, train, streams=range(streams), all_streams=streams, step=step))))
    columns = [[value.decode() for value in found[key].numpy()] for key in ("query_id", "item_id")]
    return list(zip(*columns, strict=True))


def _streamed(names: npt.NDArray[np.str_], parse: Parser, *, dataset: Dataset) -> _Source:
    """Reads the files as their rows are asked for."""

    def decode(records: tf.Tensor) -> tuple[Examples, tf.Tensor, tf.Tensor]:
        every = tf.range(tf.size(records, tf.int64))
        return parse(records), every, every

    counts = np.array([[dataset.count_examples([name]) for name in files] for files in names])
    return _Source(files=names, counts=counts, rows=serialized, decode=decode)


def _kept(names: npt.NDArray[np.str_], parse: Parser, *, dataset: Dataset) -> _Source:
    """Reads the files at once; their rows are numbered from then on."""
    filled = [name for name in names.flat if dataset.count_examples([name])]
    kept = kept_examples(
        filled,
        parse,
        query_key=None if dataset.spec.session else _QUERY_KEY,
        item_key=_ITEM_KEY,
        of_items=(ITEM_TRAIN_COUNT, *(f.key for f in dataset.features("item"))),
    )
    size_of = dict(zip(filled, kept.sizes, strict=True))
    sizes = np.array([size_of.get(name, 0) for name in names.flat])
    ends = np.cumsum(sizes)

    def decode(rows: tf.Tensor) -> tuple[Examples, tf.Tensor, tf.Tensor]:
        queries = rows if kept.query_of is None else tf.cast(tf.gather(kept.query_of, rows), tf.int64)
        return kept.queries | kept.items, queries, tf.cast(tf.gather(kept.item_of, rows), tf.int64)

    return _Source(
        files=np.stack([ends - sizes, ends], axis=1).reshape(*names.shape, 2),
        counts=sizes.reshape(names.shape),
        # Not from_tensors, which TensorFlow 2.21 takes for a source of chance: where operations are deterministic, as
        # in `train`, one of it makes all reading wait for who asks for a batch.
        rows=lambda files: tf.data.Dataset.from_tensor_slices(
            tf.ragged.range(files[:, 0], files[:, 1]).values[tf.newaxis]
        ),
        decode=decode,
    )


def _shares(source: _Source, train: Train, *, streams: Sequence[int], all_streams: int, step: int) -> tf.data.Dataset:
    """The rows of each global batch from a step on that come from some of all streams, [B] each, by stream."""
    # However many streams there are, input_streams files are read at a time.
    together, share = train.input_streams // all_streams, train.batch_size // all_streams
    epochs, seen = np.divmod(step * share, source.counts.sum(axis=1))
    rows_of = partial(_stream, source, seed=train.seed, together=together, share=share)
    each = (source.files, np.array(streams), epochs, seen, source.counts)
    shares = tf.data.Dataset.from_tensor_slices(each).interleave(
        rows_of,
        cycle_length=len(streams),
        num_parallel_calls=min(preparing_threads(), len(streams)),
        deterministic=True,
    )
    return shares.batch(len(streams)).map(lambda parts: tf.reshape(parts, [-1]))


def _stream(  # noqa: PLR0917 (as `interleave` hands them on)
    source: _Source,
    files: tf.Tensor,
    stream: tf.Tensor,
    first_epoch: tf.Tensor,
    seen: tf.Tensor,
    counts: tf.Tensor,
    *,
    seed: int,
    together: int,
    share: int,
) -> tf.data.Dataset:
    """The rows of a stream from some row on, without end.

    Args:
        source: How its files are read.
        files: Its files, [F, ...].
        stream: Its number.
        first_epoch: Where to start.
        seen: Rows of that epoch that are left out; files that hold no others aren't read.
        counts: [F] Rows of its files.
        seed: `train.seed`.
        together: So many files' rows are shuffled as one's.
        share: Rows of an element.
    """

    def some_files(epoch: tf.Tensor, some: tf.Tensor) -> tf.data.Dataset:
        key = draw_key(seed, "order of rows", stream, epoch, some[0])
        rows = source.rows(tf.gather(files, some))
        return rows.map(lambda whole: tf.random.experimental.stateless_shuffle(whole, key))

    def order_of(epoch: tf.Tensor) -> tf.Tensor:
        key = draw_key(seed, "order of files", stream, epoch)
        return tf.random.experimental.stateless_shuffle(tf.range(tf.shape(files, tf.int64)[0]), key)

    # Behind each file, in the order of the first epoch.
    ends = tf.cumsum(tf.gather(counts, order_of(first_epoch)))
    # Whole groups, whose first file gives the key of their rows' order. The next one has more rows than are left out.
    passed = tf.math.count_nonzero(ends <= seen) // together * together
    left = seen - tf.concat([[0], ends], axis=0)[passed]

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        order = order_of(epoch)[tf.where(epoch == first_epoch, passed, 0) :]
        return tf.data.Dataset.from_tensor_slices(order).batch(together).flat_map(partial(some_files, epoch))

    def without_seen(to_drop: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.zeros_like(to_drop), rows[to_drop:]

    whole_files = tf.data.Dataset.range(first_epoch, _EPOCHS).flat_map(one_epoch).scan(left, without_seen)
    return whole_files.prefetch(1).rebatch(share)
