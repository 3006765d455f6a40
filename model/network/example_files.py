"""Reading a dataset's files of tf.Examples.

Shapes: B examples.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from features.dataset import ITEM_TRAIN_COUNT, EncodedFeature
from features.transform_graph import whole_vectors
from model.network.feature_values import dtype_of
from model.network.tensorflow_error import reason_of
from stage.errors import StageError


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
    spec: dict[str, Any] = {f.key: tf.io.RaggedFeature(dtype_of(f), row_splits_dtype=tf.int64) for f in features}
    for key in scalars:
        spec[key] = tf.io.FixedLenFeature([], tf.int64 if key == ITEM_TRAIN_COUNT else tf.string)
    sizes = {f.key: f.size for f in features if f.kind == "vector"}

    def parse(serialized: tf.Tensor) -> dict[str, Any]:
        parsed = tf.io.parse_example(serialized, spec)
        return parsed | {key: whole_vectors(parsed[key], size) for key, size in sizes.items()}

    return parse


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
