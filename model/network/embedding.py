"""Embedding tables, and how an entity's values become the input of a tower.

Shapes: B entities, N of them with a number or a vector, R rows of a table, C codes of a vocabulary, c of them that
stand in some values, V such values, H rows of a code in a hashed table, D embedding dimension, W width of the tower's
input, w of one feature's part of it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import keras
import tensorflow as tf

from features.dataset import EncodedFeature
from model.network.draws import draw_key
from model.network.feature_values import Features
from model.network.hashed_table import HashedRows
from model.network.lookups import Lookup, Lookups, lookups_of
from model.network.touched_rows import number_codes, read_rows
from model.network.unit_length import unit_length

Tables: TypeAlias = Mapping[str, tf.Tensor]
"""Vocabulary -> float32 [c, D], the codes that stand in the values alone."""

_INITIAL_RANGE = 0.05


class EmbeddingTables:
    """What is learned per value: one table per vocabulary; and per feature one default.

    A feature's default stands for its value wherever an entity shows none: masked, missing and unknown alike.

    Attributes:
        tables: Vocabulary -> variable [R, D]; R is C where the table isn't hashed.
        hashed: Vocabulary of a hashed table -> the rows of each code, int32 [C, H].
        defaults: Feature key -> variable, [D]; [] of a numeric feature, [w] of a vector.
    """

    def __init__(
        self, features: Sequence[EncodedFeature], *, dim: int, seed: int, hashed: Mapping[str, HashedRows]
    ) -> None:
        """Draws the first weights.

        Args:
            features: Of both towers; those of the same vocabulary share a table.
            dim: D.
            seed: Of the first weights, with the name of what they are of.
            hashed: Vocabulary of a hashed table -> how its codes lie there.
        """
        self.hashed = {vocabulary: tf.constant(rows.of_code) for vocabulary, rows in hashed.items()}
        self.tables: dict[str, tf.Variable] = {}
        self.defaults: dict[str, keras.Variable] = {}
        for feature in features:
            if feature.vocabulary is not None and feature.vocabulary not in self.tables:
                found = hashed.get(feature.vocabulary)
                rows = feature.codes if found is None else found.rows
                start = _initial([rows, dim], seed=seed, name=feature.vocabulary)
                self.tables[feature.vocabulary] = tf.Variable(
                    start, name=feature.vocabulary, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
                )
            # The mean of a normalised number is 0, and of vectors nothing is known.
            start = (
                tf.zeros([feature.size] if feature.kind == "vector" else [], keras.config.floatx())
                if feature.vocabulary is None
                else _initial([dim], seed=seed, name=feature.key)
            )
            self.defaults[feature.key] = keras.Variable(start, name=feature.key.replace("/", "_"))


def input_width(features: Sequence[EncodedFeature], *, dim: int) -> int:
    """W, what its features have together."""
    return sum(column_widths(features, dim=dim))


def column_widths(features: Sequence[EncodedFeature], *, dim: int) -> list[int]:
    """How wide each feature is: w is D for one with a table, 1 for a numeric one, a vector's size."""
    return [f.size if f.vocabulary is None else dim for f in features]


def tower_columns(
    looked_up: Lookups, features: Sequence[EncodedFeature], *, tables: Tables, defaults: Mapping[str, keras.Variable]
) -> list[tf.Tensor]:
    """The input of a tower, by feature.

    Args:
        looked_up: Of B entities.
        features: Which features, in the order of the result.
        tables: Where codes are looked up.
        defaults: In place of an empty list of values.

    Returns:
        float32 [B, w] each; the widths w add up to W.
    """
    return [
        _numbers(looked_up[f.key], feature=f, default=defaults[f.key].value)
        if f.vocabulary is None
        else pool(looked_up[f.key], table=tables[f.vocabulary], default=defaults[f.key].value)
        for f in features
    ]


def pool(codes: Lookup, *, table: tf.Tensor, default: tf.Tensor) -> tf.Tensor:
    """The mean of each entity's values; the default where there is none.

    Args:
        codes: Of B entities, counting the rows of the table.
        table: float32 [c, D].
        default: float32 [D].

    Returns:
        float32 [B, D].
    """
    return _mean_or_default(table, default, *codes)


@tf.custom_gradient
def _mean_or_default(  # noqa: PLR0917 (in a graph a custom gradient takes no keywords)
    table: tf.Tensor, default: tf.Tensor, codes: tf.Tensor, segments: tf.Tensor, is_empty: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor | None, ...]]]:
    """tf.sparse.segment_mean, whose own gradient is uninitialised memory where there are no codes (TensorFlow 2.21).

    A tf.cond around it would do as well, but takes longer to trace. Autodiff of the choice between mean and default
    would write two more matrices [B, D].
    """

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        # A row without codes takes no part in it. Without any codes it has no rows, and all of them are padding;
        # else there is none, and nothing is copied.
        rows = tf.shape(table)[0]
        of_table = tf.raw_ops.SparseSegmentMeanGrad(
            grad=upstream, indices=codes, segment_ids=segments, output_dim0=tf.where(tf.size(codes) > 0, rows, 0)
        )
        of_table = tf.pad(of_table, [[0, rows - tf.shape(of_table)[0]], [0, 0]])
        of_default = tf.linalg.matvec(upstream, tf.cast(is_empty, upstream.dtype), transpose_a=True)
        return of_table, of_default, None, None, None

    mean = tf.sparse.segment_mean(table, codes, segments, num_segments=tf.size(is_empty, tf.int64))
    return tf.where(is_empty[:, tf.newaxis], default, mean), gradient


def _numbers(numbers: Lookup, *, feature: EncodedFeature, default: tf.Tensor) -> tf.Tensor:
    """The number, the vector at length 1, or the default, float32 [B, w]."""
    found = tf.reshape(tf.cast(numbers.values, default.dtype), [-1, feature.size])  # [N, w]
    if feature.kind == "vector":
        # Of very long and very short ones the squares would be none.
        found = unit_length(tf.math.divide_no_nan(found, tf.reduce_max(tf.abs(found), axis=1, keepdims=True)))
    rows = tf.math.unsorted_segment_sum(found, numbers.entities, tf.size(numbers.is_empty))
    return tf.where(numbers.is_empty[:, tf.newaxis], default, rows)


def look_up(
    embeddings: EmbeddingTables, values: Features, *, features: Sequence[EncodedFeature]
) -> tuple[dict[str, tf.Tensor], Lookups]:
    """What `tower_columns` needs outside a training step.

    After a first step TensorFlow copies a table for whoever reads it whole: of a gigabyte a batch took 0.9 s, not 0.05.

    Args:
        embeddings: Where to look.
        values: Ragged [B, (values)] each.
        features: Which features.

    Returns:
        Of each table the codes that stand in the values; and what is looked up there.
    """
    touched, (renumbered,) = number_codes(embeddings.tables, [(values, features)], hashed=embeddings.hashed)
    rows = read_rows(embeddings.tables, touched)
    return {vocabulary: found.of_codes(found.values) for vocabulary, found in rows.items()}, lookups_of(renumbered)


def _initial(shape: list[int], *, seed: int, name: str) -> tf.Tensor:
    key = draw_key(seed, f"initial {name}")
    return tf.cast(_draw(tf.constant(shape), key), keras.config.floatx())


@tf.function(input_signature=[tf.TensorSpec([None], tf.int32), tf.TensorSpec([2], tf.int64)], autograph=False)
def _draw(shape: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """As a graph, in which a table is in memory once; op by op it would be three times."""
    return tf.random.stateless_uniform(shape, key, -_INITIAL_RANGE, _INITIAL_RANGE)
