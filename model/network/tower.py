"""A tower: layers with ReLU between them, the last one linear.

Shapes: B entities, K features, W width of the tower's input, w of one feature's columns, U units of the first layer, D
dimensions of the embedding.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from features.spec.training import Precision
from model.network.draws import draw_key
from model.network.padding import first_rows, pad_rows
from model.network.unit_length import unit_length


class UnitNorm(keras.layers.Layer):
    """L2-normalises each row; a row of zeros stays."""

    def call(self, rows: tf.Tensor) -> tf.Tensor:
        """float32 [B, D] -> float32 [B, D]."""
        return unit_length(rows)


def make_tower(hidden: Sequence[int], *, input_width: int, normalize: bool, seed: int, name: str) -> keras.Sequential:
    """From a tower's input to the embedding that is compared.

    The initial weights don't depend on the tower's name: where queries are items, both towers start as one function,
    and an entity as query and as item at one place. On wikispeedia-links plain Recall@10 was 0.281 so and 0.268 with
    towers apart, the tail's 0.172 and 0.152 (measured, means of 2 seeds). A projection head's layers start from
    the same draws; of layers of different widths the first rows, up to a factor.

    Args:
        hidden: Units of each layer; the last is the embedding's dimension.
        input_width: W.
        normalize: L2-normalise the result.
        seed: `train.seed`, of the initial weights.
        name: `query_tower`, `item_tower` or `projection_head`.

    Returns:
        float32 [B, W] -> float32 [B, hidden[-1]].
    """
    tower = keras.Sequential(name=name)
    for depth, units in enumerate(hidden):
        key = draw_key(seed, "initial layer", depth)
        layer_seed = int(tf.random.stateless_uniform([], key, 0, 2**31 - 1, tf.int32))
        last = depth == len(hidden) - 1
        initial = keras.initializers.GlorotUniform(seed=layer_seed)
        tower.add(keras.layers.Dense(units, activation=None if last else "relu", kernel_initializer=initial))
    if normalize:
        tower.add(UnitNorm())
    tower.build((None, input_width))
    return tower


def run_tower(tower: keras.Sequential, inputs: tf.Tensor, *, precision: Precision) -> tf.Tensor:
    """What a tower makes of its input.

    Args:
        tower: From `make_tower`.
        inputs: float32 [B, W].
        precision: bfloat16: layers compute in it, from weights that stay float32. The normalisation doesn't.

    Returns:
        float32 [B, hidden[-1]].
    """
    first = tower.layers[0]
    return _run(tower, inputs, kernel=first.kernel.value, bias=first.bias.value, precision=precision)


def run_tower_on_shown(
    tower: keras.Sequential,
    columns: Sequence[tf.Tensor],
    *,
    shown: tf.Tensor,
    bias: tf.Tensor,
    defaults: Sequence[tf.Tensor],
    precision: Precision,
) -> tf.Tensor:
    """What a tower makes of entities that all have the default of some features, as those that one mask hides.

    The first layer doesn't multiply these features' columns: what it makes of the defaults is the same for all.

    Args:
        tower: From `make_tower`.
        columns: Its input by feature, float32 [B, w] each of K.
        shown: int32 [K]: w, or 0 where every entity has the default. One feature at least has its w: oneDNN ends the
            process at a product of no columns.
        bias: The first layer's, float32 [U].
        defaults: The features' defaults, float32 [w] each of K.
        precision: As that of `run_tower`.

    Returns:
        float32 [B, hidden[-1]].
    """
    kernel, widths = tower.layers[0].kernel.value, tf.unstack(shown)
    rows = tf.split(kernel, [feature.shape[1] for feature in columns])
    hidden = tf.concat(
        [tf.where(width > 0, tf.zeros_like(d), d) for width, d in zip(widths, defaults, strict=True)], axis=0
    )
    return _run(
        tower,
        tf.concat([tf.slice(c, [0, 0], [-1, width]) for width, c in zip(widths, columns, strict=True)], axis=1),
        kernel=tf.concat([tf.slice(r, [0, 0], [width, -1]) for width, r in zip(widths, rows, strict=True)], axis=0),
        bias=bias + tf.linalg.matvec(kernel, hidden, transpose_a=True),
        precision=precision,
    )


def _run(
    tower: keras.Sequential, inputs: tf.Tensor, *, kernel: tf.Tensor, bias: tf.Tensor, precision: Precision
) -> tf.Tensor:
    """The tower with other weights of its first layer, [w, U] and [U]; w columns of input."""
    exact, dtype = precision == "float32", inputs.dtype
    computed = dtype if exact else tf.as_dtype(precision)
    hidden = inputs if exact else pad_rows(tf.cast(inputs, computed))
    for layer in tower.layers:
        if isinstance(layer, keras.layers.Dense):
            if layer is not tower.layers[0]:
                kernel, bias = layer.kernel.value, layer.bias.value
            product = tf.matmul(tf.cast(hidden, computed), tf.cast(kernel, computed))
            hidden = layer.activation(tf.nn.bias_add(product, tf.cast(bias, computed)))
        else:
            hidden = layer(tf.cast(hidden, dtype))
    hidden = tf.cast(hidden, dtype)
    return hidden if exact else first_rows(hidden, tf.shape(inputs)[0])
