"""The rows of embedding tables that some values touch: read once each, and all that a training step updates.

Shapes: U rows of a table that are touched, C codes of a vocabulary, c of them that stand in the values, H rows of a
code in a hashed table, D embedding dimension.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from features.dataset import EncodedFeature
from model.network.feature_values import Features


class TouchedCodes(NamedTuple):
    """The codes of one vocabulary that stand in some values, each once, and where their rows are."""

    ids: tf.Tensor
    """int64 [U], distinct."""
    parts: tf.Tensor | None = None
    """Of a hashed table, int64 [c, H]: which of these rows each touched code is the mean of. None: rows are codes."""


class TouchedRows(NamedTuple):
    """The rows of one table that are read, each once."""

    ids: tf.Tensor
    """int64 [U], distinct."""
    values: tf.Tensor
    """float [U, D]."""
    parts: tf.Tensor | None = None
    """As those of the codes."""

    def of_codes(self, values: tf.Tensor) -> tf.Tensor:
        """The embedding of each touched code, float [c, D], given what stands in the rows, float [U, D]."""
        return values if self.parts is None else tf.reduce_mean(tf.gather(values, self.parts), axis=1)


def number_codes(
    vocabularies: Iterable[str],
    sides: Sequence[tuple[Features, Sequence[EncodedFeature]]],
    *,
    hashed: Mapping[str, tf.Tensor],
) -> tuple[dict[str, TouchedCodes], list[Features]]:
    """Finds which rows of every table some values need.

    Args:
        vocabularies: Those that have a table.
        sides: The features of some entities each: queries, items, items of the SSL task.
        hashed: The rows of each code of the hashed tables, int32 [C, H].

    Returns:
        Vocabulary -> touched codes; and the sides' features with codes that count them.
    """
    touched: dict[str, TouchedCodes] = {}
    renumbered: list[Features] = [dict(values) for values, _ in sides]
    for vocabulary in vocabularies:
        users = [(side, f.key) for side, (_, fs) in enumerate(sides) for f in fs if f.vocabulary == vocabulary]
        if not users:
            continue
        codes = [renumbered[side][key].values for side, key in users]
        distinct, indices = tf.unique(tf.concat(codes, axis=0), out_idx=tf.int64)
        touched[vocabulary] = _touched(distinct, hashed=hashed.get(vocabulary))
        for (side, key), part in zip(users, tf.split(indices, [tf.size(c) for c in codes]), strict=True):
            renumbered[side][key] = renumbered[side][key].with_values(part)
    return touched, renumbered


def _touched(codes: tf.Tensor, *, hashed: tf.Tensor | None) -> TouchedCodes:
    if hashed is None:
        return TouchedCodes(codes)
    of_codes = tf.cast(tf.gather(hashed, codes), tf.int64)
    ids, indices = tf.unique(tf.reshape(of_codes, [-1]), out_idx=tf.int64)
    return TouchedCodes(ids, tf.reshape(indices, tf.shape(of_codes)))


def read_rows(tables: Mapping[str, tf.Variable], touched: Mapping[str, TouchedCodes]) -> dict[str, TouchedRows]:
    """Reads just the touched rows from every table, each once.

    A training step differentiates by these rows, so that neither gradients nor updates ever have the size of a table.
    """
    return {
        vocabulary: TouchedRows(codes.ids, tf.gather(tables[vocabulary], codes.ids), codes.parts)
        for vocabulary, codes in touched.items()
    }
