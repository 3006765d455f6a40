"""What the served graph is asked with: raw features as plain tensors or serialized tf.Examples, brought to one form.

A request's raw features end as an entity table's do (`features.raw_features`): control characters become a
space, empty texts and numbers that are none count as missing, and so does a vector with such a number.

Shapes: B entities, M values of the entity with most of them.
"""

from collections.abc import Mapping
from typing import TypeAlias

import tensorflow as tf

from features.ids import CONTROLS
from features.spec.features import Feature, IdFeature, MultivaluedFeature, NumericFeature, SideName, VectorFeature
from features.spec.spec import Spec
from model.network.kept_values import keep_values

RAW_HISTORY = "history"
"""Input of session mode: raw item ids, the latest last."""
EXCLUDE = "exclude"
"""Input of a search: ids of items to leave out."""
EXAMPLES = "examples"
"""The one input of a signature that takes serialized tf.Examples."""

RawFeatures: TypeAlias = dict[str, tf.RaggedTensor]
"""query/NAME, pair/NAME or item/NAME, history, exclude -> ragged [B, (values)], string or float32."""


def input_name(key: str) -> str:
    """The name of a key as a signature's input: a signature takes no slash."""
    return key.replace("/", "_")


def feature_name(key: str) -> str:
    """The name of a key in an entity, and in a file of queries."""
    return key.rpartition("/")[2]


def raw_keys(spec: Spec, side_name: SideName) -> dict[str, Feature | None]:
    """What one side is asked with: query/NAME or item/NAME -> its feature.

    Of a query in session mode its context, pair/NAME, and its history too.
    """
    parts = ("query", "pair") if side_name == "query" else ("item",)
    keys: dict[str, Feature | None] = {k: f for k, f in spec.features.items() if k.startswith(parts)}
    return keys | ({RAW_HISTORY: None} if side_name == "query" and spec.session is not None else {})


def ragged_specs(keys: Mapping[str, Feature | None]) -> dict[str, tf.RaggedTensorSpec]:
    """The one form that requests are brought to, by key."""
    return {key: tf.RaggedTensorSpec([None, None], _dtype(feature), 1, tf.int64) for key, feature in keys.items()}


def tensor_specs(keys: Mapping[str, Feature | None]) -> dict[str, tf.TensorSpec]:
    """The plain tensors of a signature, by input name.

    Returns:
        string [B, M] padded with "" for lists, string [B] with "" for no value, float32 [B] with NaN for no number;
        float32 [B, size] for vectors, of NaN for none.
    """
    specs = {}
    for key, feature in keys.items():
        width = [feature.size if isinstance(feature, VectorFeature) else None] if is_list(feature) else []
        specs[input_name(key)] = tf.TensorSpec([None, *width], _dtype(feature), name=input_name(key))
    return specs


def from_tensors(tensors: Mapping[str, tf.Tensor], keys: Mapping[str, Feature | None]) -> RawFeatures:
    """Plain tensors, as `tensor_specs` has them, without their padding.

    Raises:
        InvalidArgumentError: If one has more rows than another; what it lacks would count as missing.
    """
    names = [input_name(key) for key in keys]
    rows = tf.stack([tf.shape(tensors[name])[0] for name in names])
    tf.debugging.assert_equal(rows, rows[0], message=f"expected one number of rows of the inputs {', '.join(names)}")
    return {key: _clean(_unpadded(tensors[input_name(key)]), feature) for key, feature in keys.items()}


def from_examples(serialized: tf.Tensor, keys: Mapping[str, Feature | None]) -> RawFeatures:
    """Serialized tf.Examples of raw features, string [B]; a key that an example lacks has no value there."""
    parsed = tf.io.parse_example(serialized, {key: _in_example(feature) for key, feature in keys.items()})
    vectors = {key: _unpadded(parsed[key]) for key, feature in keys.items() if isinstance(feature, VectorFeature)}
    cleaned = {key: _clean(values, keys[key]) for key, values in (parsed | vectors).items()}
    return {key: cleaned[key] if is_list(feature) else cleaned[key][:, :1] for key, feature in keys.items()}


def _in_example(feature: Feature | None) -> tf.io.RaggedFeature | tf.io.FixedLenFeature:
    if isinstance(feature, VectorFeature):  # of another length the parser complains
        return tf.io.FixedLenFeature([feature.size], tf.float32, [float("nan")] * feature.size)
    return tf.io.RaggedFeature(_dtype(feature), row_splits_dtype=tf.int64)


def _unpadded(tensor: tf.Tensor) -> tf.RaggedTensor:
    """What `tf.RaggedTensor.from_tensor` gives, of one value a row too, by half the operations of a graph."""
    shape = tf.shape(tensor, tf.int64)
    splits = tf.range(shape[0] + 1) * (shape[1] if tensor.shape.rank == 2 else 1)
    return tf.RaggedTensor.from_row_splits(tf.reshape(tensor, [-1]), splits, validate=False)


def _dtype(feature: Feature | None) -> tf.DType:
    return tf.float32 if isinstance(feature, NumericFeature | VectorFeature) else tf.string


def is_list(feature: Feature | None) -> bool:
    """Whether a value is a list: of a multivalued feature, a history, or a vector."""
    return feature is None or isinstance(feature, MultivaluedFeature | VectorFeature)


def _clean(values: tf.RaggedTensor, feature: Feature | None) -> tf.RaggedTensor:
    if isinstance(feature, VectorFeature):
        finite = tf.math.is_finite(tf.reshape(values.values, [-1, feature.size]))
        return keep_values(values, tf.repeat(tf.reduce_all(finite, axis=1), feature.size))
    if isinstance(feature, NumericFeature):
        return keep_values(values, tf.math.is_finite(values.values))
    if not isinstance(feature, IdFeature | None):
        values = values.with_values(tf.strings.regex_replace(values.values, f"{CONTROLS}+", " "))
    return keep_values(values, tf.not_equal(values.values, ""))
