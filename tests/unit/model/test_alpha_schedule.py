import pytest
import tensorflow as tf

from features.spec_training import Ssl
from model.alpha_schedule import alpha_at, is_over


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


def test_is_over_from_the_step_on_at_which_it_is_0_for_good():
    decaying = Ssl(alpha=0.4, warmup_epochs=1, decay_epochs=2.45)
    assert [is_over(step, decaying, steps_an_epoch=10.0) for step in (0, 24, 25, 90)] == [False, False, True, True]
    whole = Ssl(alpha=0.4, decay_epochs=2)
    assert [is_over(step, whole, steps_an_epoch=10.0) for step in (19, 20)] == [False, True]
    assert not is_over(10**9, Ssl(alpha=0.4), steps_an_epoch=10.0)
    assert is_over(0, Ssl(alpha=0), steps_an_epoch=10.0)
    assert is_over(0, Ssl(augmentation="feature_dropout"), steps_an_epoch=10.0)
