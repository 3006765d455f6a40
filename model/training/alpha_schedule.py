"""How the weight of L_self changes while training: it may start small, and it may end at 0."""

import math

import keras
import tensorflow as tf

from features.spec.spec import Spec
from model.network.corpus import Corpus


def alpha_at(step: tf.Tensor, *, corpus: Corpus, spec: Spec) -> tf.Tensor | float:
    """The weight of L_self in a step.

    Args:
        step: From 0 on, int64 [].
        corpus: Its training examples count.
        spec: `ssl.alpha`, `warmup_epochs` and `decay_epochs`, and the batch size.

    Returns:
        `ssl.alpha` itself without a schedule; else float [].
    """
    ssl = spec.ssl
    alpha: tf.Tensor | float = ssl.alpha
    epoch = tf.cast(step, keras.config.floatx()) / _batches_an_epoch(corpus, spec)
    if ssl.warmup_epochs:
        alpha *= tf.minimum(epoch / ssl.warmup_epochs, 1.0)
    if ssl.decay_epochs is not None:
        alpha *= tf.maximum(1.0 - epoch / ssl.decay_epochs, 0.0)
    return alpha


def ssl_steps(corpus: Corpus, spec: Spec) -> int | None:
    """How many steps have an SSL loss, which those after them don't, since its weight is 0; None: all have.

    Arguments as above.
    """
    if not spec.ssl.has_loss:
        return 0
    decay_epochs = spec.ssl.decay_epochs
    return None if decay_epochs is None else math.ceil(decay_epochs * _batches_an_epoch(corpus, spec))


def _batches_an_epoch(corpus: Corpus, spec: Spec) -> float:
    return corpus.train_examples / spec.train.batch_size
