"""The graph of tensorflow-transform: raw features in, codes and normalised numbers out, for training and serving alike.

A row is a query, an item or the context of a pair; the inputs are those of `features.transform_inputs`, as sparse
tensors [B, any].

What the graph knows of the data, vocabularies and the constants that normalise numbers, is learned by our own kernels
over whole columns (`features.vocabularies`, `features.normalisation`) and handed in as an analyzer each;
tensorflow-transform's own take an element per term.
"""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from features.normalisation import CONSTANTS, LOG_STEPS, SMALLEST_DEVIATION, numeric_keys
from features.spec.features import Feature, NumericFeature, TextFeature, VectorFeature, vocabulary_of
from features.spec.spec import Spec
from features.tokens import FOLDS, NOT_A_WORD
from features.vocabularies import NOTHING, vocabularies

Tensors = Mapping[str, tf.SparseTensor]


def preprocessing_fn(
    spec: Spec, *, learn_vocabularies: Any, learn_constants: Any
) -> Callable[[Tensors], dict[str, tf.SparseTensor]]:
    """The function that tensorflow-transform analyses and turns into a graph.

    Args:
        spec: The dataset's spec.
        learn_vocabularies: A Beam transform as `tft.experimental.ptransform_analyzer` takes it, which need not look at
            its input: gives the path of the file of each of `features.vocabularies.vocabularies`, in their order.
        learn_constants: Another: gives the constants of `features.normalisation.numeric_keys`, float64 [N, CONSTANTS].

    Returns:
        Sparse [B, any] inputs by name -> sparse [B, any] outputs: query/NAME, item/NAME and pair/NAME, int64 codes or
        float32 numbers, vectors as they are; unknown and missing values left out.
    """

    def preprocess(inputs: Tensors) -> dict[str, tf.SparseTensor]:
        values = {key: _values(inputs[key], feature) for key, feature in spec.features.items()}
        some_input = next(iter(inputs.values())).values
        files = _files(spec, learn_vocabularies, some_input=some_input)
        constants = _constants(spec, learn_constants, some_input=some_input)
        outputs = {}
        for key, feature in spec.features.items():
            if isinstance(feature, NumericFeature):
                outputs[key] = _normalise(values[key], feature, constants=constants[key])
                continue
            if isinstance(feature, VectorFeature):
                outputs[key] = _with_values(values[key], tf.identity(values[key].values))
                continue
            if isinstance(feature, TextFeature) and feature.hash_buckets is not None:
                hashed = tf.strings.to_hash_bucket_fast(values[key].values, feature.hash_buckets)
                codes = _with_values(values[key], hashed)
            else:
                file = files[vocabulary_of(key, feature)]
                codes = tft.apply_vocabulary(values[key], file, default_value=-1, num_oov_buckets=feature.oov_buckets)
            outputs[key] = _keep_known(codes, getattr(feature, "max_values", 1))
        return outputs

    return preprocess


def _files(spec: Spec, learn: Any, *, some_input: tf.Tensor) -> dict[str, tf.Tensor]:
    """Vocabulary -> tensor that names its file."""
    names = list(vocabularies(spec))
    if not names:
        return {}
    files = tft.experimental.ptransform_analyzer(
        inputs=[some_input],
        ptransform=learn,
        output_dtypes=[tf.string] * len(names),
        output_shapes=[[]] * len(names),
        output_asset_default_values=[NOTHING.encode()] * len(names),
        name="vocabularies",
    )
    return dict(zip(names, files, strict=True))


def _constants(spec: Spec, learn: Any, *, some_input: tf.Tensor) -> dict[str, tf.Tensor]:
    """Numeric feature -> float64 [CONSTANTS]."""
    keys = numeric_keys(spec)
    if not keys:
        return {}
    (constants,) = tft.experimental.ptransform_analyzer(
        inputs=[some_input],
        ptransform=learn,
        output_dtypes=[tf.float64],
        output_shapes=[[len(keys), CONSTANTS]],
        name="constants",
    )
    return dict(zip(keys, tf.unstack(constants), strict=True))


def _values(raw: tf.SparseTensor, feature: Feature) -> tf.SparseTensor:
    """What a feature's raw input is taken apart into: text into n-grams, the others as they are."""
    if not isinstance(feature, TextFeature):
        return raw
    text = raw.values
    for pattern, replacement in FOLDS:
        text = tf.strings.regex_replace(text, pattern, replacement)
    text = tf.strings.regex_replace(tf.strings.lower(text, encoding="utf-8"), NOT_A_WORD, " ")
    grams = tf.strings.ngrams(tf.strings.split(text), feature.ngrams, separator=" ")
    # [texts, n-grams] to [B, n-grams]: a row has one text or none.
    rows = tf.gather(raw.indices[:, 0], grams.value_rowids())
    places = tf.cast(tf.ragged.range(grams.row_lengths()).flat_values, tf.int64)
    longest = tf.reduce_max(tf.concat([[tf.constant(0, tf.int64)], grams.row_lengths()], 0))
    shape = tf.stack([raw.dense_shape[0], longest])
    return tf.SparseTensor(tf.stack([rows, places], 1), grams.flat_values, shape)


def _keep_known(codes: tf.SparseTensor, most: int) -> tf.SparseTensor:
    """Leaves out unknown codes (-1), then all but the first `most` of a row; what is left moves up."""
    # By half the operations that `tf.searchsorted` and two times `tf.sparse.retain` take: a build traces the graph five
    # times, and whatever encodes by it loads it.
    rows, known = codes.indices[:, 0], codes.values >= 0
    in_one_row = tf.expand_dims(rows, 0)
    first_of_row = tf.raw_ops.LowerBound(sorted_inputs=in_one_row, values=in_one_row, out_type=tf.int64)
    known_before = tf.cumsum(tf.cast(known, tf.int64), exclusive=True)
    places = known_before - tf.gather(known_before, tf.squeeze(first_of_row, 0))
    kept = tf.squeeze(tf.where(known & (places < most)), 1)
    return tf.SparseTensor(
        tf.gather(tf.stack([rows, places], 1), kept),
        tf.gather(codes.values, kept),
        tf.stack([codes.dense_shape[0], most]),
    )


def _normalise(numbers: tf.SparseTensor, feature: NumericFeature, *, constants: tf.Tensor) -> tf.SparseTensor:
    """To mean 0 and standard deviation 1 over the entities that have the number."""
    low, spread, mean, deviation = tf.unstack(constants)
    x = tf.cast(numbers.values, tf.float64)
    if feature.log1p:
        x = tf.round(tf.math.log1p(tf.maximum(x, 0.0)) * LOG_STEPS) / LOG_STEPS
    unit = (x - low) / spread
    constant = deviation < SMALLEST_DEVIATION
    divisor = tf.where(constant, tf.ones_like(deviation), deviation)
    scaled = tf.where(constant, tf.zeros_like(unit), (unit - mean) / divisor)
    return _with_values(numbers, tf.cast(scaled, tf.float32))


def _with_values(sparse: tf.SparseTensor, values: tf.Tensor) -> tf.SparseTensor:
    return tf.SparseTensor(sparse.indices, values, sparse.dense_shape)
