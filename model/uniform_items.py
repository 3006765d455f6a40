"""The items that a step draws uniformly from the corpus: for the SSL task, and as negatives of the main task.

Shapes: I items of the corpus, S items of the SSL task, U uniform negatives.
"""

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.spec import Spec
from model.draws import draw_key
from model.input import Corpus

_Purpose = Literal["ssl items", "uniform negatives"]


class UniformItems(NamedTuple):
    """Corpus positions; of the global batch, whose replicas share them out."""

    ssl: npt.NDArray[np.int64]
    """[S]; none without an SSL loss."""
    negatives: npt.NDArray[np.int64]
    """[U]."""


def has_ssl_loss(spec: Spec) -> bool:
    """Whether the spec asks for a self-supervised loss at all."""
    return spec.ssl.alpha > 0 and spec.ssl.augmentation != "feature_dropout"


def uniform_items(step: int, spec: Spec, corpus: Corpus) -> UniformItems:
    """The items of a step, a function of seed and step alone.

    Args:
        step: Which global batch.
        spec: The sections ssl and train.
        corpus: Its items.
    """
    wanted = (spec.ssl.batch_size or spec.train.batch_size) if has_ssl_loss(spec) else 0
    return UniformItems(
        _draw(step, spec, corpus, purpose="ssl items", wanted=wanted),
        _draw(step, spec, corpus, purpose="uniform negatives", wanted=spec.train.uniform_negatives),
    )


def corpus_positions(
    step: int, *, seed: int, purpose: _Purpose, corpus_size: int, batch_size: int
) -> npt.NDArray[np.int64]:
    """The corpus positions that are drawn for a purpose in a step.

    Each time through, the corpus is shuffled anew and cut into whole batches, so no batch holds an item twice; what is
    left over is another part of it each time.

    Args:
        step: Which global batch.
        seed: `train.seed`.
        purpose: What for; draws of different purposes are independent.
        corpus_size: I.
        batch_size: At most I.

    Returns:
        int64 [batch_size], distinct, in [0, I).
    """
    pass_number, batch = divmod(step, corpus_size // batch_size)
    order = _corpus_order(seed, purpose, pass_number, corpus_size)
    return order[batch * batch_size : (batch + 1) * batch_size]


@lru_cache(maxsize=2)
def _corpus_order(seed: int, purpose: _Purpose, pass_number: int, corpus_size: int) -> npt.NDArray[np.int64]:
    key = draw_key(seed, purpose, pass_number)
    return tf.random.experimental.stateless_shuffle(tf.range(corpus_size, dtype=tf.int64), key).numpy()


def _draw(step: int, spec: Spec, corpus: Corpus, *, purpose: _Purpose, wanted: int) -> npt.NDArray[np.int64]:
    size = min(wanted, len(corpus))
    if size == 0:
        return np.zeros(0, np.int64)
    return corpus_positions(step, seed=spec.train.seed, purpose=purpose, corpus_size=len(corpus), batch_size=size)
