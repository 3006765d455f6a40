import pytest
import tensorflow as tf

from features.spec.training import Ssl
from model.training.alpha_schedule import alpha_at, ssl_steps


def _at(steps, **ssl):
    return [float(alpha_at(tf.constant(s, tf.int64), Ssl(alpha=0.4, **ssl), steps_an_epoch=10.0)) for s in steps]


def test_without_a_schedule_it_is_a_number():
    assert alpha_at(tf.constant(3, tf.int64), Ssl(alpha=0.4), steps_an_epoch=10.0) == 0.4


def test_grows_along_a_line_and_stays():
    assert _at([0, 5, 20, 30], warmup_epochs=2) == pytest.approx([0, 0.1, 0.4, 0.4])


def test_falls_along_a_line_to_0():
    assert _at([0, 10, 30, 40, 90], decay_epochs=4) == pytest.approx([0.4, 0.3, 0.1, 0, 0])


def test_may_do_both():
    # Half way up at step 5 and 1/8 down: 0.4 * 0.5 * 0.875.
    assert _at([5, 20], warmup_epochs=1, decay_epochs=4) == pytest.approx([0.175, 0.2])


def test_there_is_a_loss_up_to_the_step_at_which_its_weight_is_0_for_good():
    # The weight is 0 after 24.5 steps, and at the 20th: the last steps with a loss are numbers 24 and 19.
    assert ssl_steps(Ssl(alpha=0.4, warmup_epochs=1, decay_epochs=2.45), steps_an_epoch=10.0) == 25
    assert ssl_steps(Ssl(alpha=0.4, decay_epochs=2), steps_an_epoch=10.0) == 20
    assert ssl_steps(Ssl(alpha=0.4), steps_an_epoch=10.0) is None
    assert ssl_steps(Ssl(alpha=0), steps_an_epoch=10.0) == 0
    assert ssl_steps(Ssl(augmentation="feature_dropout"), steps_an_epoch=10.0) == 0
