"""The graph of tensorflow-transform: raw features in, codes and normalised numbers out, for training and serving alike.

The one module of `features` with TensorFlow in it. A row is a query or an item; the inputs are those of
`features.entities.transform_inputs`, as sparse tensors [B, any].

Everything learned is exact in any order, so that it doesn't depend on how an engine brings the rows: counts, minima and
maxima, and sums of fixed-point integers.
"""

from collections.abc import Callable, Mapping

import tensorflow as tf
import tensorflow_transform as tft

from features.dataset import vocabulary_of
from features.entities import TRAIN_COUNT
from features.spec import Feature, IdFeature, NumericFeature, Spec, TextFeature
from features.tokens import FOLDS, NOT_A_WORD

Tensors = Mapping[str, tf.SparseTensor]


def preprocessing_fn(spec: Spec) -> Callable[[Tensors], dict[str, tf.SparseTensor]]:
    """The function that tensorflow-transform analyses and turns into a graph.

    Returns:
        Sparse [B, any] inputs by name -> sparse [B, any] outputs: query/NAME and item/NAME, int64 codes or float32
        numbers, unknown and missing values left out.
    """

    def preprocess(inputs: Tensors) -> dict[str, tf.SparseTensor]:
        values = {key: _values(inputs[key], feature) for key, feature in _features(spec).items()}
        vocabularies = _vocabularies(spec, inputs, values)
        outputs = {}
        for key, feature in _features(spec).items():
            if isinstance(feature, NumericFeature):
                outputs[key] = _normalise(values[key], feature, name=key.replace("/", "_"))
                continue
            if isinstance(feature, TextFeature) and feature.hash_buckets is not None:
                hashed = tf.strings.to_hash_bucket_fast(values[key].values, feature.hash_buckets)
                codes = _with_values(values[key], hashed)
            else:
                side_name, name = key.split("/")
                vocabulary = vocabularies[vocabulary_of(side_name, name, getattr(spec, side_name)) or ""]
                codes = tft.apply_vocabulary(
                    values[key], vocabulary, default_value=-1, num_oov_buckets=feature.oov_buckets
                )
            outputs[key] = _keep_known(codes, getattr(feature, "max_values", 1))
        return outputs

    return preprocess


def vocabulary_names(spec: Spec) -> list[str]:
    """The vocabularies that the graph learns; each is an asset of that name."""
    return sorted(_learned(spec))


def _features(spec: Spec) -> dict[str, Feature]:
    sides = (("query", spec.query), ("item", spec.item))
    return {f"{side_name}/{name}": feature for side_name, side in sides for name, feature in side.features.items()}


def _learned(spec: Spec) -> dict[str, list[str]]:
    """Vocabulary -> keys of the features that share it."""
    shared: dict[str, list[str]] = {}
    for key, feature in _features(spec).items():
        side_name, name = key.split("/")
        vocabulary = vocabulary_of(side_name, name, getattr(spec, side_name))
        hashed = isinstance(feature, TextFeature) and feature.hash_buckets is not None
        if vocabulary is not None and not hashed:
            shared.setdefault(vocabulary, []).append(key)
    return shared


def _vocabularies(spec: Spec, inputs: Tensors, values: Tensors) -> dict[str, tf.Tensor]:
    """Vocabulary -> tensor that names its file."""
    found = {}
    for vocabulary, keys in _learned(spec).items():
        feature = _features(spec)[keys[0]]
        if isinstance(feature, NumericFeature):
            raise TypeError(f"{keys[0]} is a number and has no vocabulary")
        counts = None
        if isinstance(feature, IdFeature):
            counts = tf.concat([inputs[f"{key.split('/')[0]}/{TRAIN_COUNT}"].values for key in keys], 0)
        elif spec.sources.queries == "items" and any(key.startswith("item/") for key in keys):
            # The same rows stand on both sides; an entity counts once.
            keys = [key for key in keys if key.startswith("item/")]  # noqa: PLW2901
        terms = tf.concat([_once_per_row(values[key]) for key in keys], 0)
        if counts is not None and feature.min_count:
            # A threshold of 1 is none to tft.vocabulary.
            terms, counts = terms[counts > 0], counts[counts > 0]
        found[vocabulary] = tft.vocabulary(
            terms,
            weights=None if counts is None else tf.cast(counts, tf.float32),
            top_k=feature.top_k,
            frequency_threshold=feature.min_count if feature.min_count > 1 else None,
            vocab_filename=vocabulary,
            name=f"{vocabulary}_vocabulary",
        )
    return found


def _values(raw: tf.SparseTensor, feature: Feature) -> tf.SparseTensor:
    """What a feature's raw input is taken apart into: text into n-grams, the others as they are."""
    if not isinstance(feature, TextFeature):
        return raw
    text = raw.values
    for pattern, replacement in FOLDS:
        text = tf.strings.regex_replace(text, pattern, replacement)
    text = tf.strings.regex_replace(tf.strings.lower(text, encoding="utf-8"), NOT_A_WORD, " ")
    grams = tf.strings.ngrams(tf.strings.split(text), list(feature.ngrams), separator=" ")
    # [texts, n-grams] to [B, n-grams]: a row has one text or none.
    rows = tf.gather(raw.indices[:, 0], grams.value_rowids())
    places = tf.cast(tf.ragged.range(grams.row_lengths()).flat_values, tf.int64)
    longest = tf.reduce_max(tf.concat([[tf.constant(0, tf.int64)], grams.row_lengths()], 0))
    shape = tf.stack([raw.dense_shape[0], longest])
    return tf.SparseTensor(tf.stack([rows, places], 1), grams.flat_values, shape)


def _once_per_row(values: tf.SparseTensor) -> tf.Tensor:
    """The distinct values of each row, in the order of their first: a vocabulary counts entities, not mentions."""
    distinct, place = tf.unique(values.values, tf.int64)
    size = tf.maximum(tf.size(distinct, tf.int64), 1)
    once, _ = tf.unique(values.indices[:, 0] * size + place)
    return tf.gather(distinct, once % size)


def _keep_known(codes: tf.SparseTensor, most: int) -> tf.SparseTensor:
    """Leaves out unknown codes (-1), then all but the first `most` of a row."""
    known = tf.sparse.retain(codes, codes.values >= 0)
    kept = tf.RaggedTensor.from_value_rowids(known.values, known.indices[:, 0], nrows=known.dense_shape[0])
    return kept[:, :most].to_sparse()


def _normalise(numbers: tf.SparseTensor, feature: NumericFeature, *, name: str) -> tf.SparseTensor:
    """To mean 0 and standard deviation 1 over the entities that have the number."""
    x = tf.cast(numbers.values, tf.float64)
    if feature.log1p:
        # Rounded, since a vectorised logarithm's last bit depends on where in the batch a row stands.
        x = tf.round(tf.math.log1p(tf.maximum(x, 0.0)) * 2.0**24) * 2.0**-24
    low, high = tft.min(x, name=f"{name}_min"), tft.max(x, name=f"{name}_max")
    spread = tf.where(high > low, high - low, tf.ones_like(high))
    unit = (x - low) / spread
    # Where no entity has the number, low and high are no numbers either; any other is 0 then.
    found = tft.sum(tf.ones_like(x, tf.int64), name=f"{name}_count")
    count = tf.cast(tf.maximum(found, 1), tf.float64)
    mean = _exact_sum(unit, name=f"{name}_sum") / count
    mean_square = _exact_sum(unit * unit, name=f"{name}_sum_of_squares") / count
    deviation = tf.sqrt(tf.maximum(mean_square - mean * mean, 0.0))
    # Below this the fixed-point variance is rounding alone.
    constant = deviation < 2.0**-15
    divisor = tf.where(constant, tf.ones_like(deviation), deviation)
    scaled = tf.where(constant, tf.zeros_like(unit), (unit - mean) / divisor)
    return _with_values(numbers, tf.cast(scaled, tf.float32))


def _exact_sum(unit: tf.Tensor, *, name: str) -> tf.Tensor:
    """The sum over all rows of numbers in [0, 1], float64, in fixed point and so in any order."""
    return tf.cast(tft.sum(tf.cast(tf.round(unit * 2.0**32), tf.int64), name=name), tf.float64) * 2.0**-32


def _with_values(sparse: tf.SparseTensor, values: tf.Tensor) -> tf.SparseTensor:
    return tf.SparseTensor(sparse.indices, values, sparse.dense_shape)
