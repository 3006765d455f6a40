"""The softmax cross entropy of pairs of a row and a column, with its gradient written out.

What autodiff makes of it walks over the matrix of logits about ten times; this does so four times on a CPU, five in
bfloat16. Pairs may share rows and columns, and a column may stand for several equal ones, so the matrix need not have
more of either than there are different ones.

Shapes: R rows, C columns, D dimensions, n pairs, P entries left out.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import tensorflow as tf

from features.spec.training import Precision
from model.network.add_at import add_at
from model.network.padding import pad_rows, padding_of
from model.training import processors

_NEVER = -1e9
"""Added to a logit it leaves the entry out: far below any other, yet finite."""
_SLOW, _SPARE = 1024, 8
"""Where rows of logits lie 4 KiB apart, they fight for one line of the cache: the product over rows took 8.0 ms
for 1,024 columns, 5.1 for 1,032 (measured, one AVX2 core). So there are a few columns more."""
_SMALLEST = 1e-30
"""Probabilities below that lose digits, or vanish."""

_Gradient = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def softmax_loss(
    rows: tf.Tensor,
    columns: tf.Tensor,
    *,
    row: tf.Tensor,
    column: tf.Tensor,
    copies: tf.Tensor,
    bias: tf.Tensor | None = None,
    others_left_out: bool = False,
    left_out: tf.Tensor | None = None,
    precision: Precision = "float32",
) -> tf.Tensor:
    """The sum over the pairs of -log softmax(rows columns^T + bias) at the pair's entry.

    Args:
        rows: float [R, D].
        columns: float [C, D].
        row: int64 [n], each pair's.
        column: int64 [n], each pair's.
        copies: float [C]: as how many columns each counts.
        bias: float [C], added to the columns' logits; has no gradient.
        others_left_out: Of the columns that a pair's own counts as, all but one count for other pairs alone.
        left_out: int64 [P, 2], distinct (row, column) that are not in the row's softmax, none of them a pair's own.
        precision: Of the gradient's products; the logits keep that of the rows.

    Returns:
        float [].
    """
    added = tf.math.log(copies) if bias is None else tf.math.log(copies) + bias
    # Rows that no pair has, and columns that are never chosen.
    padded_rows, padding = pad_rows(rows), padding_of(tf.shape(columns)[0])
    padding += tf.where((tf.shape(columns)[0] + padding) % _SLOW == 0, _SPARE, 0)
    loss_of = partial(
        _loss_of,
        columns=tf.pad(columns, [[0, padding], [0, 0]]),
        added=tf.pad(added, [[0, padding]], constant_values=_NEVER),
        others_left_out=others_left_out,
        precision=precision,
    )
    whole = _Part(
        padded_rows, pairs=tf.stack([row, column], axis=1), copies=tf.gather(copies, column), left_out=left_out
    )
    if processors.has_gpus():
        return loss_of(whole)
    # While one processor computed the logits and their softmax, a second had nothing else to do. It isn't by processors
    # or threads, lest what is learned depend on them. On GPUs halves weren't measured.
    return tf.add_n([loss_of(half) for half in _halves(whole)])


class _Part(NamedTuple):
    """Some of the rows, and what is theirs, by their numbers in the part.

    Attributes:
        rows: float [R, D], R a multiple of 32.
        pairs: int64 [n, 2], (row, column).
        copies: float [n]; as how many columns a pair's own counts.
        left_out: int64 [P, 2].
    """

    rows: tf.Tensor
    pairs: tf.Tensor
    copies: tf.Tensor
    left_out: tf.Tensor | None


def _halves(whole: _Part) -> list[_Part]:
    """The upper half of the rows and the lower one, each a multiple of 32 too; of 32 rows the lower has none."""
    rows = tf.shape(whole.rows, tf.int64)[0]
    upper = rows // 2 + padding_of(rows // 2)

    def apart(entries: tf.Tensor, values: tf.Tensor) -> list[tf.Tensor]:
        return tf.dynamic_partition(values, tf.cast(entries[:, 0] >= upper, tf.int32), 2)

    def entries_apart(entries: tf.Tensor) -> list[tf.Tensor]:
        above, below = apart(entries, entries)
        return [above, below - tf.stack([upper, 0])]

    halves = zip(
        tf.split(whole.rows, [upper, rows - upper]),
        entries_apart(whole.pairs),
        apart(whole.pairs, whole.copies),
        [None, None] if whole.left_out is None else entries_apart(whole.left_out),
        strict=True,
    )
    return [_Part(*half) for half in halves]


def _loss_of(
    part: _Part, *, columns: tf.Tensor, added: tf.Tensor, others_left_out: bool, precision: Precision
) -> tf.Tensor:
    """The sum over a part's pairs, with what is added to the columns' logits, float [C]."""
    row = part.pairs[:, 0]
    hits = part.copies - 1 if others_left_out else tf.zeros_like(part.copies)

    @tf.custom_gradient
    def loss(rows: tf.Tensor, columns: tf.Tensor) -> tuple[tf.Tensor, _Gradient]:
        # TensorFlow fuses the addition into the product.
        logits = tf.nn.bias_add(tf.matmul(rows, columns, transpose_b=True), added)
        if part.left_out is not None:
            never = tf.fill(tf.shape(part.left_out)[:1], tf.cast(_NEVER, logits.dtype))
            logits = add_at(logits, part.left_out, values=never)
        probabilities = tf.nn.softmax(logits)
        negative_log = _negative_log(probabilities, logits, indices=part.pairs) + tf.math.log(part.copies)
        # The hits' part of the row's softmax: without it the sum that this divides by is smaller. It is at most
        # 1 - 1 / (hits + 1), so float32 can tell it from 1.
        of_hits = hits * tf.exp(-negative_log)
        scale = 1 / (1 - of_hits)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            # By the logits it is, for each pair of a row, `scale` times the row's probabilities, less 1 at the entry of
            # the pair. In bfloat16 a probability near 1 and that 1 would leave nothing but their rounding, so they meet
            # before the cast.
            weight = tf.math.unsorted_segment_sum(scale, row, tf.shape(rows)[0])
            at_entry = -scale / tf.gather(weight, row)
            weight = (weight * upstream)[:, tf.newaxis]
            factors = [add_at(probabilities, part.pairs, values=at_entry), rows * weight, columns]
            if precision == "bfloat16":
                factors = [tf.cast(factor, precision) for factor in factors]
            of_rows = tf.cast(tf.matmul(factors[0], factors[2]), rows.dtype) * weight
            of_columns = tf.cast(tf.matmul(factors[0], factors[1], transpose_a=True), rows.dtype)
            return of_rows, of_columns

        return tf.reduce_sum(negative_log + tf.math.log1p(-of_hits)), gradient

    return loss(part.rows, columns)


def _negative_log(probabilities: tf.Tensor, logits: tf.Tensor, *, indices: tf.Tensor) -> tf.Tensor:
    """-log of the probabilities of some entries, float [n]; from the logits where one is too small to tell."""
    own = tf.gather_nd(probabilities, indices)
    return tf.cond(
        tf.reduce_min(own) > _SMALLEST,
        lambda: -tf.math.log(own),
        lambda: tf.gather(tf.reduce_logsumexp(logits, axis=1), indices[:, 0]) - tf.gather_nd(logits, indices),
    )
