import numpy as np
import pytest
import tensorflow as tf

from features.spec.file import load_spec
from model.network.corpus import Corpus
from model.training.alpha_schedule import alpha_at, ssl_steps

CORPUS = Corpus(ids=[b"one", b"other"], train_count=np.array([77, 3]), features={})


def _spec(alpha=0.4, **ssl):
    """With 10 batches an epoch."""
    keys = [f"ssl.{key}={value}" for key, value in ssl.items()]
    return load_spec("synthetic", ["train.batch_size=8", f"ssl.alpha={alpha}", *keys])


def _at(steps, **ssl):
    spec = _spec(**ssl)
    return [float(alpha_at(tf.constant(step, tf.int64), corpus=CORPUS, spec=spec)) for step in steps]


def test_without_a_schedule_it_is_a_number():
    assert alpha_at(tf.constant(3, tf.int64), corpus=CORPUS, spec=_spec()) == 0.4


def test_grows_along_a_line_and_stays():
    assert _at([0, 5, 20, 30], warmup_epochs=2) == pytest.approx([0, 0.1, 0.4, 0.4])


def test_falls_along_a_line_to_0():
    assert _at([0, 10, 30, 40, 90], decay_epochs=4) == pytest.approx([0.4, 0.3, 0.1, 0, 0])


def test_may_do_both():
    # Half way up at step 5 and 1/8 down: 0.4 * 0.5 * 0.875.
    assert _at([5, 20], warmup_epochs=1, decay_epochs=4) == pytest.approx([0.175, 0.2])


def test_there_is_a_loss_up_to_the_step_at_which_its_weight_is_0_for_good():
    # The weight is 0 after 24.5 steps, and at the 20th: the last steps with a loss are numbers 24 and 19.
    assert ssl_steps(CORPUS, _spec(warmup_epochs=1, decay_epochs=2.45)) == 25
    assert ssl_steps(CORPUS, _spec(decay_epochs=2)) == 20
    assert ssl_steps(CORPUS, _spec()) is None
    assert ssl_steps(CORPUS, _spec(alpha=0)) == 0
    assert ssl_steps(CORPUS, _spec(augmentation="feature_dropout")) == 0
