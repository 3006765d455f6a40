"""The items that a step draws uniformly from the corpus: for the SSL task, and as negatives of the main task.

Shapes: S items of the SSL task, U uniform negatives.
"""

from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.spec import Spec
from model.alpha_schedule import is_over
from model.draws import draw_key
from model.input import Corpus


class UniformItems(NamedTuple):
    """Corpus positions of a global batch, whose replicas share them out: drawn as arrays, inside the step tensors."""

    ssl: npt.NDArray[np.int64]
    """[S]; none in a step without an SSL loss."""
    negatives: npt.NDArray[np.int64]
    """[U]."""


def uniform_items(step: int, corpus: Corpus, *, spec: Spec) -> UniformItems:
    """The items of a step.

    For each purpose the corpus is shuffled anew each time through and cut into whole batches, so no batch holds an item
    twice; what is left over is another part of it each time.

    Args:
        step: Which global batch.
        corpus: Its items.
        spec: The sections ssl and train.

    Returns:
        Distinct positions each, as many as the spec wants but at most all: a function of the arguments alone.
    """
    over = is_over(step, spec.ssl, steps_an_epoch=corpus.train_examples / spec.train.batch_size)
    wanted = 0 if over else spec.ssl.batch_size or spec.train.batch_size
    draw = partial(_draw, step, seed=spec.train.seed, corpus_size=len(corpus))
    return UniformItems(
        ssl=draw(purpose="ssl items", size=min(wanted, len(corpus))),
        negatives=draw(purpose="uniform negatives", size=min(spec.train.uniform_negatives, len(corpus))),
    )


def _draw(step: int, *, seed: int, purpose: str, corpus_size: int, size: int) -> npt.NDArray[np.int64]:
    if size == 0:
        return np.zeros(0, np.int64)
    pass_number, batch = divmod(step, corpus_size // size)
    return _corpus_order(seed, purpose, pass_number=pass_number, corpus_size=corpus_size)[
        batch * size : (batch + 1) * size
    ]


@lru_cache(maxsize=2)
def _corpus_order(seed: int, purpose: str, *, pass_number: int, corpus_size: int) -> npt.NDArray[np.int64]:
    key = draw_key(seed, purpose, pass_number)
    return tf.random.experimental.stateless_shuffle(tf.range(corpus_size, dtype=tf.int64), key).numpy()
