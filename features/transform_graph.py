"""The graph that tensorflow-transform saved: raw features in, encoded ones out."""

from collections.abc import Mapping

import pyarrow as pa
import tensorflow as tf

from features.spec.features import VectorFeature
from features.spec.spec import Spec
from features.transform_inputs import transform_inputs
from stage import storage
from stage.errors import StageError

DTYPES = {pa.float32(): tf.float32, pa.large_binary(): tf.string}
"""Type of an input, as `features.transform_inputs` has it -> that of its tensor."""


class TransformGraph(tf.Module):
    """It needs TensorFlow alone; saved with a graph, it takes its vocabularies along."""

    def __init__(self, transform_directory: str, spec: Spec) -> None:
        """Loads it.

        Args:
            transform_directory: Where it lies.
            spec: The one that it was made under.

        Raises:
            StageError: If it can't be loaded, as where a file of it is damaged or has gone.
        """
        super().__init__()
        self._inputs = transform_inputs(spec)
        self._sizes = {key: f.size for key, f in spec.features.items() if isinstance(f, VectorFeature)}
        # Not `transform_features_layer()`, a Keras 2 model that would be saved as one. This is the graph inside it.
        try:
            self._saved = tf.saved_model.load(storage.join(transform_directory, "transform_fn"))
        except Exception as error:  # of a damaged graph TensorFlow may raise anything
            raise StageError(
                f"{transform_directory}: the graph can't be loaded ({type(error).__name__}); --verify names a damaged "
                "file"
            ) from error

    def encode(self, raw: Mapping[str, tf.RaggedTensor]) -> dict[str, tf.RaggedTensor]:
        """What it makes of raw features, ragged [rows, (values)] each; all others are empty.

        Vectors, of which it learns nothing, go past it: as sparse tensors they would take five times their memory.

        Returns:
            Ragged [rows, (values)] each; of a vector `whole_vectors`.
        """
        if not raw:
            return {}
        rows = next(iter(raw.values())).nrows()
        inputs = {
            key: raw[key].to_sparse()
            if key in raw and key not in self._sizes
            else tf.SparseTensor(tf.zeros([0, 2], tf.int64), tf.zeros([0], DTYPES[kind]), tf.stack([rows, 0]))
            for key, kind in self._inputs.items()
        }
        encoded = {
            key: tf.RaggedTensor.from_value_rowids(found.values, found.indices[:, 0], nrows=rows, validate=False)
            for key, found in self._saved.transform_fn(inputs).items()
            if key in raw
        }
        return encoded | {key: whole_vectors(raw[key], size) for key, size in self._sizes.items() if key in raw}


def whole_vectors(numbers: tf.RaggedTensor, size: int) -> tf.RaggedTensor:
    """Each vector as one value, so that what goes over a batch's values needn't go over a vector's numbers.

    Args:
        numbers: float32, ragged [rows, (size numbers or none)].
        size: How many a vector has.

    Returns:
        float32, ragged [rows, (1 or 0), size].
    """
    splits = numbers.row_splits // size
    return tf.RaggedTensor.from_row_splits(tf.reshape(numbers.values, [-1, size]), splits, validate=False)


def transform_numbers(
    numbers: Mapping[str, tuple[float, float]], spec: Spec, *, transform_directory: str
) -> dict[str, tuple[float, float]]:
    """What the graph makes of two numbers of each numeric feature.

    Args:
        numbers: query/NAME, item/NAME or pair/NAME -> the two.
        spec: The one that the graph was made under.
        transform_directory: Where it lies.
    """
    raw = {key: tf.RaggedTensor.from_row_lengths(tf.constant(two, tf.float32), [1, 1]) for key, two in numbers.items()}
    found = TransformGraph(transform_directory, spec).encode(raw)
    return {key: tuple(found[key].values.numpy().astype(float).tolist()) for key in numbers}
