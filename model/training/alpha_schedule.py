"""How the weight of L_self changes while training: it may start small, and it may end at 0."""

import math

import keras
import tensorflow as tf

from features.spec.training import Ssl


def alpha_at(step: tf.Tensor, ssl: Ssl, *, steps_an_epoch: float) -> tf.Tensor | float:
    """The weight of L_self in a step.

    Args:
        step: From 0 on, int64 [].
        ssl: alpha, warmup_epochs and decay_epochs.
        steps_an_epoch: Training examples over the batch size.

    Returns:
        `ssl.alpha` itself without a schedule; else float [].
    """
    alpha: tf.Tensor | float = ssl.alpha
    epoch = tf.cast(step, keras.config.floatx()) / steps_an_epoch
    if ssl.warmup_epochs:
        alpha *= tf.minimum(epoch / ssl.warmup_epochs, 1.0)
    if ssl.decay_epochs is not None:
        alpha *= tf.maximum(1.0 - epoch / ssl.decay_epochs, 0.0)
    return alpha


def ssl_steps(ssl: Ssl, *, steps_an_epoch: float) -> int | None:
    """How many steps have an SSL loss, which those after them don't, since its weight is 0; None: all have.

    Arguments as above.
    """
    if not ssl.has_loss:
        return 0
    return None if ssl.decay_epochs is None else math.ceil(ssl.decay_epochs * steps_an_epoch)
