"""The streams of batches that training sees: a function of dataset, seed and step.

Shapes: B rows of a batch, F files of a stream, N rows of a file.
"""

from functools import partial

import numpy as np
import tensorflow as tf

from features.dataset import ITEM_TRAIN_COUNT, Dataset
from features.spec.training import Train
from model.network.draws import draw_key
from model.network.example_files import example_parser, readable
from model.training.processors import preparing_threads
from model.training.ragged_rows import rows_at
from model.training.training_batch import TrainingBatch, distinct
from model.training.training_examples import ITEM_KEY, QUERY_KEY, TrainingExamples, training_examples
from stage.manifest import File

_EPOCHS = 1 << 40


def training_batches(examples: TrainingExamples, train: Train, *, start_step: int = 0) -> tf.data.Dataset:
    """The global batches from a step on, without end, as one replica sees them.

    The training files form streams, as `stream_files` says. A stream reads its files in an order drawn anew every
    epoch, each file's rows in an order drawn anew, one file at a time, the next read ahead, and goes on with its next
    epoch inside a batch. Where all files are one stream, it reads `input_streams` of them at a time, whose rows it
    shuffles together. Every global batch takes its equal share of rows from each stream, numbered by stream.

    Args:
        examples: What this replica reads.
        train: batch_size, input_streams and seed.
        start_step: The first global batch.

    Returns:
        Elements are TrainingBatch.
    """
    dataset, share = examples.dataset, train.batch_size // examples.all_streams
    query, item = dataset.query_inputs(), dataset.features("item")
    numbers = tf.concat([tf.range(s * share, (s + 1) * share, dtype=tf.int64) for s in examples.streams], axis=0)
    every = tf.range(tf.size(numbers), dtype=tf.int64)

    def batch(rows: tf.Tensor) -> TrainingBatch:
        found, queries, items = examples.decode(rows)
        # In session mode every example is a query of its own.
        query_of, firsts = (every, every) if dataset.spec.session else distinct(tf.gather(found[QUERY_KEY], queries))
        queries = tf.gather(queries, firsts)
        item_of, firsts = distinct(tf.gather(found[ITEM_KEY], items))
        items = tf.gather(items, firsts)
        return TrainingBatch(
            row=numbers,
            query={f.key: rows_at(found[f.key], queries) for f in query},
            query_of=query_of,
            item={f.key: rows_at(found[f.key], items) for f in item},
            item_of=item_of,
            item_key=tf.gather(found[ITEM_KEY], items),
            train_count=tf.gather(found[ITEM_TRAIN_COUNT], items),
        )

    rows = _shares(examples, train, step=start_step)
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
    examples = training_examples(dataset, train, keep=False)
    with readable(dataset.directory):
        records = next(iter(_shares(examples, train, step=step)))
        found = example_parser([], scalars=["query_id", "item_id"])(records)
    columns = [[value.decode() for value in found[key].numpy()] for key in ("query_id", "item_id")]
    return list(zip(*columns, strict=True))


def _shares(examples: TrainingExamples, train: Train, *, step: int) -> tf.data.Dataset:
    """The rows of each global batch from a step on that come from the replica's streams, [B] each, by stream."""
    # However many streams there are, input_streams files are read at a time.
    together, share = train.input_streams // examples.all_streams, train.batch_size // examples.all_streams
    epochs, seen = np.divmod(step * share, examples.counts.sum(axis=1))
    rows_of = partial(_stream, examples, seed=train.seed, together=together, share=share)
    each = (examples.files, np.array(examples.streams), epochs, seen, examples.counts)
    shares = tf.data.Dataset.from_tensor_slices(each).interleave(
        rows_of,
        cycle_length=len(examples.streams),
        num_parallel_calls=min(preparing_threads(), len(examples.streams)),
        deterministic=True,
    )
    return shares.batch(len(examples.streams)).map(lambda parts: tf.reshape(parts, [-1]))


def _stream(  # noqa: PLR0917 (as `interleave` hands them on)
    examples: TrainingExamples,
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
        examples: How its files are read.
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
        rows = examples.rows(tf.gather(files, some))
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
