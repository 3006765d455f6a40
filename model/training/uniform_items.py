"""The items that a step draws uniformly from the corpus: for the SSL task, and as negatives of the main task.

Shapes: S items of the SSL task, U uniform negatives.
"""

from functools import partial
from typing import NamedTuple

import tensorflow as tf

from features.spec.spec import Spec
from model.network.corpus import Corpus
from model.network.draws import draw_key
from model.training.alpha_schedule import ssl_steps

_PASSES = _STEPS = 1 << 40


class UniformItems(NamedTuple):
    """Corpus positions of a global batch, whose replicas share them out."""

    ssl: tf.Tensor
    """int64 [S]; none in a step without an SSL loss."""
    negatives: tf.Tensor
    """int64 [U]."""


def ssl_batch_size(corpus: Corpus, spec: Spec) -> int:
    """S, in steps with an SSL loss."""
    return min(spec.ssl.batch_size or spec.train.batch_size, len(corpus))


def negatives_of_a_step(corpus: Corpus, spec: Spec) -> int:
    """U."""
    return min(spec.train.uniform_negatives, len(corpus))


def uniform_items(corpus: Corpus, *, spec: Spec, start_step: int = 0) -> tf.data.Dataset:
    """The items of each step.

    For each purpose the corpus is shuffled anew each time through and cut into whole batches, so no batch holds an item
    twice; what is left over is another part of it each time.

    Args:
        corpus: Its items.
        spec: The sections ssl and train.
        start_step: The first global batch.

    Returns:
        Elements are UniformItems, of distinct positions each, as many as the spec wants but at most all: a function of
        the arguments alone. They end with the SSL task's last step, if the first one is one of its.
    """
    steps = ssl_steps(corpus, spec)
    is_over = steps is not None and start_step >= steps
    draws = partial(_draws, len(corpus), seed=spec.train.seed, start_step=start_step)
    both = tf.data.Dataset.zip(
        UniformItems(
            ssl=draws(purpose="ssl items", size=0 if is_over else ssl_batch_size(corpus, spec)),
            negatives=draws(purpose="uniform negatives", size=negatives_of_a_step(corpus, spec)),
        )
    )
    return both if steps is None or is_over else both.take(min(steps - start_step, _STEPS))


def _draws(corpus_size: int, *, seed: int, purpose: str, size: int, start_step: int) -> tf.data.Dataset:
    if size == 0:
        return tf.data.Dataset.range(_STEPS).map(lambda _: tf.zeros([0], tf.int64))
    a_pass = corpus_size // size
    first_pass, seen = divmod(start_step, a_pass)

    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        every = tf.range(corpus_size, dtype=tf.int64)
        order = tf.random.experimental.stateless_shuffle(every, draw_key(seed, purpose, number))
        return tf.data.Dataset.from_tensor_slices(tf.reshape(order[: a_pass * size], [a_pass, size]))

    return tf.data.Dataset.range(first_pass, _PASSES).flat_map(one_pass).skip(seen)
