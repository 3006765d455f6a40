"""The rows of embedding tables that some values touch: read once each, and all that a training step updates.

Shapes: V values of a feature, U rows of a table that they touch, C codes of a vocabulary, c of them that stand in
them, H rows of a code in a hashed table, D embedding dimension.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from features.dataset import EncodedFeature
from model.input import Features


class TouchedRows(NamedTuple):
    """The rows of one table that are read, each once."""

    ids: tf.Tensor
    """int64 [U], distinct."""
    values: tf.Tensor
    """float [U, D]."""
    parts: tf.Tensor | None = None
    """Of a hashed table, int64 [c, H]: which of these rows each touched code is the mean of. None: rows are codes."""

    def of_codes(self, values: tf.Tensor) -> tf.Tensor:
        """The embedding of each touched code, float [c, D], given what stands in the rows, float [U, D]."""
        return values if self.parts is None else tf.reduce_mean(tf.gather(values, self.parts), axis=1)


def touch(
    tables: Mapping[str, tf.Variable],
    sides: Sequence[tuple[Features, Sequence[EncodedFeature]]],
    *,
    hashed: Mapping[str, tf.Tensor],
) -> tuple[dict[str, TouchedRows], list[Features]]:
    """Reads from every table just the rows that some values need, each once.

    A training step differentiates by these rows, so that neither gradients nor updates ever have the size of a table.

    Args:
        tables: The whole tables.
        sides: The features of some entities each: queries, items, items of the SSL task.
        hashed: The rows of each code of the hashed tables, int32 [C, H].

    Returns:
        Vocabulary -> touched rows; and the sides' features with codes that count the touched codes.
    """
    rows: dict[str, TouchedRows] = {}
    renumbered: list[Features] = [dict(values) for values, _ in sides]
    for vocabulary, table in tables.items():
        users = [(side, f.key) for side, (_, fs) in enumerate(sides) for f in fs if f.vocabulary == vocabulary]
        if not users:
            continue
        codes = [renumbered[side][key].values for side, key in users]
        distinct, indices = tf.unique(tf.concat(codes, axis=0), out_idx=tf.int64)
        rows[vocabulary] = _touched(table, distinct, hashed=hashed.get(vocabulary))
        for (side, key), part in zip(users, tf.split(indices, [tf.size(c) for c in codes]), strict=True):
            renumbered[side][key] = renumbered[side][key].with_values(part)
    return rows, renumbered


def _touched(table: tf.Variable, codes: tf.Tensor, *, hashed: tf.Tensor | None) -> TouchedRows:
    if hashed is None:
        return TouchedRows(codes, tf.gather(table, codes))
    of_codes = tf.cast(tf.gather(hashed, codes), tf.int64)
    ids, indices = tf.unique(tf.reshape(of_codes, [-1]), out_idx=tf.int64)
    return TouchedRows(ids, tf.gather(table, ids), tf.reshape(indices, tf.shape(of_codes)))
