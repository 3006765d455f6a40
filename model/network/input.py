"""Reading a dataset: examples and the corpus.

Shapes: B examples, N items of the corpus.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.dataset import ITEM_TRAIN_COUNT, Dataset, EncodedFeature
from features.transform_graph import whole_vectors
from model.network.numpy_rows import in_order, rows_apart
from model.network.tensorflow_error import reason_of
from stage.errors import StageError

Features: TypeAlias = dict[str, tf.RaggedTensor]
"""Key of a feature -> [B, (values)]: int64 codes, float32 numbers; of vectors [B, (1 or 0), size]. No value:
missing, unknown or masked."""

_RECORDS_AT_ONCE = 1 << 13


@dataclass(frozen=True)
class Corpus:
    """Every item once, ordered by id."""

    ids: list[bytes]
    """[N]."""
    train_count: npt.NDArray[np.int64]
    """[N]: training examples that hold the item; 0 for a cold one."""
    features: Features

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def train_examples(self) -> int:
        """Training examples."""
        return int(self.train_count.sum())


@contextmanager
def readable(directory: str) -> Iterator[None]:
    """Turns TensorFlow's complaints about files into one line.

    Raises:
        StageError: If a file below the directory can't be read or an example in it isn't one of this dataset's.
    """
    try:
        yield
    except tf.errors.OpError as error:
        raise unreadable(directory, error) from None


def unreadable(directory: str, error: tf.errors.OpError) -> StageError:
    """What TensorFlow complains of where it reads files below a directory, in one line."""
    reason = reason_of(error)
    if isinstance(error, tf.errors.DataLossError | tf.errors.InvalidArgumentError | tf.errors.NotFoundError):
        return StageError(
            f"{directory}: a record can't be read ({reason}); "
            "--verify names a damaged file, build-dataset makes it anew"
        )
    if isinstance(error, tf.errors.PermissionDeniedError | tf.errors.UnauthenticatedError):
        return StageError(f"{directory}: a file may not be read ({reason}); see to its permissions")
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return StageError(f"{directory}: reading it needs more memory than there is ({reason})")
    return StageError(f"{directory}: a file can't be read now ({reason}); the same command tries again")


def features_spec(features: Sequence[EncodedFeature]) -> dict[str, tf.RaggedTensorSpec]:
    """The signature of these features, of any number of entities and values."""
    inner = {f.key: [f.size] if f.kind == "vector" else [] for f in features}
    return {
        f.key: tf.RaggedTensorSpec([None, None, *inner[f.key]], _dtype(f), ragged_rank=1, row_splits_dtype=tf.int64)
        for f in features
    }


def _dtype(feature: EncodedFeature) -> tf.DType:
    return tf.float32 if feature.vocabulary is None else tf.int64


def example_parser(
    features: Sequence[EncodedFeature], *, scalars: Sequence[str] = ()
) -> Callable[[tf.Tensor], dict[str, Any]]:
    """A function from serialized tf.Examples to their features.

    Args:
        features: Which features to read.
        scalars: Further keys with one value an example: query_id, item_id (bytes) or item/train_count (int64).

    Returns:
        From bytes [B] to key -> ragged [B, (values)] for a feature, `whole_vectors` for one of vectors, [B] for a
        scalar.
    """
    spec: dict[str, Any] = {f.key: tf.io.RaggedFeature(_dtype(f), row_splits_dtype=tf.int64) for f in features}
    for key in scalars:
        spec[key] = tf.io.FixedLenFeature([], tf.int64 if key == ITEM_TRAIN_COUNT else tf.string)
    sizes = {f.key: f.size for f in features if f.kind == "vector"}

    def parse(serialized: tf.Tensor) -> dict[str, Any]:
        parsed = tf.io.parse_example(serialized, spec)
        return parsed | {key: whole_vectors(parsed[key], size) for key, size in sizes.items()}

    return parse


def read_corpus(dataset: Dataset) -> Corpus:
    """Reads every item into memory, ordered by id.

    Returns:
        `ids`, bytes [N]; `train_count`, int64 [N], training examples that hold the item; `features`, item/NAME ->
        ragged [N, (values)]: int64 codes of a vocabulary, or float32, a number with mean 0 and standard deviation
        1; of a vector [N, (1 or 0), size].

    Raises:
        StageError: If a file can't be read, the corpus is empty, or an item is there twice.
    """
    features = dataset.features("item")
    parse = example_parser(features, scalars=["item_id", ITEM_TRAIN_COUNT])
    with readable(dataset.directory):
        records = tf.data.TFRecordDataset(dataset.corpus_files(), "GZIP").batch(_RECORDS_AT_ONCE)
        # Out of TensorFlow's memory at once, since it gives none back: the corpus would hold 3.4 times its size.
        parts = [tf.nest.map_structure(lambda part: part.numpy(), rows_apart(part)) for part in records.map(parse)]
    if not parts:
        raise StageError(f"{dataset.directory}/items: expected the items of the corpus, found none")
    ids = np.concatenate([part.pop("item_id") for part in parts])
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    twice = np.flatnonzero(ids[1:] == ids[:-1])
    if twice.size:
        raise StageError(f"{dataset.directory}/items: expected every item once, found {ids[twice[0]].decode()} twice")
    counts = np.concatenate([part.pop(ITEM_TRAIN_COUNT) for part in parts])[order]
    # Each part's values go as they are joined, so that one feature at a time is there twice.
    values = {f.key: in_order([part.pop(f.key) for part in parts], order) for f in features}
    return Corpus(ids.tolist(), counts, values)
