"""The softmax cross entropy where each row's class is its own column, with its gradient written out.

What autodiff makes of it walks over the matrix of logits about ten times; this does so four times.

Shapes: n rows, N columns, D dimensions, P places left out.
"""

from collections.abc import Callable

import tensorflow as tf

from model.tower import Precision

_NEVER = -1e9
"""A logit that leaves a place out: far below any other, yet finite."""
_SMALLEST = 1e-30
"""Probabilities below that lose digits, or vanish."""

_Gradient = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def softmax_loss(
    rows: tf.Tensor,
    columns: tf.Tensor,
    *,
    bias: tf.Tensor | None = None,
    left_out: tf.Tensor | None = None,
    first_row: int = 0,
    precision: Precision = "float32",
) -> tf.Tensor:
    """-log softmax(rows columns^T + bias) at (i, first_row + i), summed over the rows and divided by N.

    Args:
        rows: float [n, D].
        columns: float [N, D].
        bias: float [N], added to the columns' logits; has no gradient.
        left_out: int64 [P, 2], distinct (row, column) that are not in the row's softmax, none of them a row's own.
        first_row: The column of row 0.
        precision: Of the gradient's products; the logits keep that of the rows.

    Returns:
        float [].
    """

    @tf.custom_gradient
    def loss(rows: tf.Tensor, columns: tf.Tensor) -> tuple[tf.Tensor, _Gradient]:
        logits = tf.matmul(rows, columns, transpose_b=True)
        if bias is not None:
            logits = tf.nn.bias_add(logits, bias)  # TensorFlow fuses it into the product
        if left_out is not None:
            never = tf.fill(tf.shape(left_out)[:1], tf.cast(_NEVER, logits.dtype))
            logits = tf.tensor_scatter_nd_update(logits, left_out, never)
        probabilities = tf.nn.softmax(logits)
        total = tf.cast(tf.shape(columns)[0], rows.dtype)
        end = first_row + tf.shape(rows)[0]

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            # Of the logits it is (probabilities - 1 at a row's own column) / N.
            padding = [[first_row, tf.shape(columns)[0] - end], [0, 0]]
            factors = [probabilities, rows, columns]
            if precision == "bfloat16":
                factors = [tf.cast(factor, precision) for factor in factors]
            of_rows = tf.cast(tf.matmul(factors[0], factors[2]), rows.dtype) - columns[first_row:end]
            of_columns = tf.cast(tf.matmul(factors[0], factors[1], transpose_a=True), rows.dtype) - tf.pad(
                rows, padding
            )
            return of_rows * (upstream / total), of_columns * (upstream / total)

        return tf.reduce_sum(_negative_log(probabilities, logits, first_row)) / total, gradient

    return loss(rows, columns)


def _negative_log(probabilities: tf.Tensor, logits: tf.Tensor, first_row: int) -> tf.Tensor:
    """-log of each row's own probability, float [n]; from the logits where a probability is too small to tell."""
    own = tf.linalg.diag_part(probabilities, k=first_row)
    return tf.cond(
        tf.reduce_min(own) > _SMALLEST,
        lambda: -tf.math.log(own),
        lambda: tf.reduce_logsumexp(logits, axis=1) - tf.linalg.diag_part(logits, k=first_row),
    )
