"""What a training will take of memory, said before it is taken.

Embedding tables with their optimizer slots, the corpus, and the training examples that are kept or read ahead dominate:
layers are some megabytes, a batch too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from features.dataset import Dataset, EncodedFeature
from features.spec.spec import Spec
from model.network.corpus import Corpus
from model.training.batch_streams import training_files
from model.training.processors import preparing_threads
from model.training.row_optimizer import slot_numbers
from stage.errors import StageError
from stage.manifest import File
from stage.memory import megabytes

_BYTES = 4  # of a float32, or an int32
_UNKNOWN = 1 << 32
"""Bytes of room that are counted with where nobody knows."""
# Measured by tests/benchmarks/split_memory.py on splits of 6.3 MB (wikispeedia-links), 8.1 (wikispeedia-sessions), 23
# (debian), 239 (synthetic) and 244 (the same log in sessions, histories of up to 20 items).
_DECODING, _FILES_A_THREAD = 12, 4
"""Times the gzipped bytes of the files that are decoded at a time, up to so many for each thread: 10.8 and 11.6 of the
first two, whose 8 files all are."""
_KEPT = 2
"""Times the gzipped bytes of all files, for what is kept: 0.3, 0.8, 0.6, 0.3 and 1.1, of which a feature at a time is
there twice. With the files that are decoded that makes 14.0, 14.0, 5.3, 3.5 and 3.5 times all files, where 10.8, 11.6,
4.0, 1.8 and 3.2 to 3.5 were measured; with eight threads 5.1 of the last, counted as 8.0."""
_STREAMING = 20
"""Times the gzipped bytes of the files that are read at a time: 20.5, 22.5, 19.3, 21.2 and 19.7. Of each stream there
are its file's serialized examples, those of the next, and while it is shuffled a copy."""
_DECODING_VECTORS, _STREAMING_VECTORS = 3, 5
"""The same of vectors' gzipped bytes, since they hardly shrink. Two splits with vectors on both sides (of 128 numbers,
beside words, in 124 MB; of 512 in 559 MB) took 2.5 and 1.8 times their 8 files decoded, with eight threads 2.7 and 2.0;
as 64 files 0.8 and 0.4, with eight threads 1.5 and 0.8. Streamed they took 4.7 and 3.6 times the files at a time; two
of 81 and 201 MB 5.3 and 4.2."""


@dataclass(frozen=True, kw_only=True)
class TableSize:
    """What one embedding table takes."""

    vocabulary: str
    rows: int
    table: int
    """Bytes."""
    slots: int
    """Bytes of its optimizer slots."""
    hashes: int = 0
    """Bytes that say which rows each term is hashed to."""


@dataclass(frozen=True)
class ExamplesSize:
    """What training examples take of a process, in one of two ways; the other is 0."""

    decoding: int = 0
    """Bytes, while those that are kept are decoded."""
    streaming: int = 0
    """Bytes, where they are read as they are needed."""

    @property
    def keep(self) -> bool:
        """Whether they are kept decoded."""
        return self.decoding > 0


@dataclass(frozen=True)
class CorpusSize:
    """What the corpus takes."""

    items: int
    features: int
    """Bytes."""
    embeddings: int
    """Bytes of all items' embeddings."""

    @property
    def validation(self) -> int:
        """Bytes while a split is ranked: embeddings as they come, and transposed, in parts and as one."""
        return 3 * self.embeddings


def corpus_size(corpus: Corpus, spec: Spec) -> CorpusSize:
    """What a corpus takes under the section model."""
    parts = [part for values in corpus.features.values() for part in (values.values, values.row_splits)]
    features = sum(int(tf.size(part)) * part.dtype.size for part in parts)
    return CorpusSize(len(corpus), features, len(corpus) * spec.model.hidden[-1] * _BYTES)


def beside_examples(sizes: Sequence[TableSize], corpus: CorpusSize, *, device: int | None) -> int:
    """Bytes that tables and corpus take of the host; `device`: as in `check_fits`."""
    need = sum(size.table + size.slots for size in sizes)
    hashes = sum(size.hashes for size in sizes)  # in no checkpoint
    return hashes + corpus.features + max(need, corpus.validation) + (need if device is None else 0)


def examples_size(dataset: Dataset, spec: Spec, *, processes: int, room: int | None) -> ExamplesSize:
    """What each of so many processes takes for its share of the training examples under the section train.

    They are kept decoded if that takes a quarter of the room or less, or no more than to read them as they are needed.

    Args:
        dataset: Whose training split is read.
        spec: The section train.
        processes: How many share its files out.
        room: Bytes that the host has beside what else the training takes; None: unknown.
    """
    vectors = [f for f in [*dataset.query_inputs(), *dataset.features("item")] if f.kind == "vector"]
    of_example = _BYTES * sum(f.size for f in vectors)

    def at_a_time(number: int, *, times: int, times_vectors: int) -> int:
        def taken(file: File) -> int:
            of_vectors = min(file.size, of_example * (file.records or 0))
            return times_vectors * of_vectors + times * (file.size - of_vectors)

        return sum(sorted(map(taken, files), reverse=True)[:number])

    files = training_files(dataset)
    decoded = min(_FILES_A_THREAD * preparing_threads(), len(files) // processes)
    decoding = at_a_time(decoded, times=_DECODING, times_vectors=_DECODING_VECTORS)
    decoding += _KEPT * sum(file.size for file in files) // processes
    at_once = spec.train.input_streams // processes
    streaming = at_a_time(at_once, times=_STREAMING, times_vectors=_STREAMING_VECTORS)
    quarter = (_UNKNOWN if room is None else room) // 4
    return ExamplesSize(decoding=decoding) if decoding <= max(quarter, streaming) else ExamplesSize(streaming=streaming)


def table_sizes(features: Sequence[EncodedFeature], spec: Spec) -> list[TableSize]:
    """The tables that a model of these features has, the largest first.

    Args:
        features: Of both towers.
        spec: The sections model and train.
    """
    dim, slots = spec.model.embedding_dim, slot_numbers(spec.train.optimizer, dim=spec.model.embedding_dim)
    sizes = []
    for name, codes in {f.vocabulary: f.codes for f in features if f.vocabulary is not None}.items():
        hashed = spec.model.hashed_tables.get(name)
        rows, hashes = (codes, 0) if hashed is None else (hashed.rows, codes * hashed.hashes)
        table, of_slots = rows * dim * _BYTES, rows * slots * _BYTES
        sizes.append(TableSize(vocabulary=name, rows=rows, table=table, slots=of_slots, hashes=hashes * _BYTES))
    return sorted(sizes, key=lambda size: (-size.table, size.vocabulary))


def describe(sizes: Sequence[TableSize], corpus: CorpusSize, *, examples: ExamplesSize, optimizer: str) -> str:
    """A line per table and, where there are several, one for all; one for the corpus, and one for the examples."""
    totals = {key: sum(getattr(size, key) for size in sizes) for key in ("rows", "table", "slots", "hashes")}
    everything = TableSize(vocabulary="all tables", **totals)
    shown = [*sizes, everything] if len(sizes) > 1 else sizes
    width = max((len(size.vocabulary) for size in shown), default=0)
    of_tables = [
        f"{size.vocabulary:<{width}}  {size.rows:>13,} rows  {megabytes(size.table):>12}"
        f"  + {megabytes(size.slots):>12} for {optimizer}"
        + (f"  + {megabytes(size.hashes):>12} for hashes" if size.hashes else "")
        for size in shown
    ]
    of_corpus = (
        f"{'corpus':<{width}}  {corpus.items:>13,} items {megabytes(corpus.features):>12}"
        f"  + {megabytes(corpus.validation):>12} in a validation"
    )
    how, taken = ("while decoded", examples.decoding) if examples.decoding else ("while read", examples.streaming)
    return "\n".join([*of_tables, of_corpus, f"{'examples':<{width}}  {how:>18}  {megabytes(taken):>12}"])


def check_fits(
    sizes: Sequence[TableSize], corpus: CorpusSize, *, examples: ExamplesSize, host: int | None, device: int | None
) -> None:
    """Refuses a training that would run out of memory.

    Tables and slots are once where TensorFlow computes, and once more on the host when a checkpoint is read. They are
    saved one at a time, each copied where it is. The corpus and examples stay on the host; a validation, which is
    never while a checkpoint is read, has a GPU hold one of its copies of the embeddings.

    Args:
        sizes: The tables.
        corpus: The corpus.
        examples: The training examples.
        host: Bytes available to programs before the corpus was read; None: unknown.
        device: Bytes that TensorFlow may use of a GPU; None: there is no GPU, so that the host holds both.

    Raises:
        StageError: If they don't fit, with what makes them smaller.
    """
    need = sum(size.table + size.slots for size in sizes)
    hashes = sum(size.hashes for size in sizes)
    on_host = beside_examples(sizes, corpus, device=device) + examples.decoding + examples.streaming
    on_device = need + hashes + max([corpus.embeddings, *(size.table for size in sizes)])
    largest = f"{sizes[0].vocabulary} with {sizes[0].rows:,} rows" if sizes else "none"
    fewer_rows = (
        f"the largest table is {largest}: hash it to fewer rows by model.hashed_tables, lower model.embedding_dim, set "
        "train.optimizer to rowwise_adagrad, or build the dataset again with a lower top_k or a higher min_count for it"
    )
    narrower = f"{corpus.items:,} items take less by a lower last number of model.hidden"
    fewer_examples = "training examples that are kept take less of a shorter log, or of more workers"
    fewer_files = (
        "reading training files takes less by a lower train.input_streams, or of smaller files: build the dataset "
        "again with more --shards"
    )
    of_host = {
        fewer_rows: need if device is not None else 2 * need,
        narrower: corpus.validation if corpus.validation > need else 0,
        fewer_examples: examples.decoding,
        fewer_files: examples.streaming,
    }
    of_device = {fewer_rows: need, narrower: corpus.embeddings}
    memories = [("this machine", host, on_host, of_host), ("the GPU", device, on_device, of_device)]
    for memory, available, wanted, smaller in memories:
        if available is not None and wanted > available:
            remedies = sorted(filter(smaller.get, smaller), key=lambda remedy: -smaller[remedy])
            raise StageError(
                f"embedding tables, their optimizer slots, the corpus and training examples need {megabytes(wanted)} "
                f"of memory on {memory}, {megabytes(available)} are available; {'; '.join(remedies)}"
            )


def available_on_device() -> int | None:
    """Bytes that TensorFlow may use of this machine's smallest GPU; None without one."""
    if not tf.config.list_physical_devices("GPU"):
        return None
    from tensorflow.python.client import device_lib  # noqa: PLC0415  (nothing public says it)

    return min((d.memory_limit for d in device_lib.list_local_devices() if d.device_type == "GPU"), default=None)
