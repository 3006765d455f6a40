"""How many steps one call takes."""

import math

import pytest

from model.training.steps_at_once import steps_at_once


@pytest.mark.parametrize(
    ("step", "count"),
    [
        (0, 8),  # before a validation
        (3, 5),  # a resumed training starts anywhere
        (8, 2),  # before all workers are asked
        (10, 3),  # before the SSL task ends
        (13, 3),
        (40, 7),  # before the last
    ],
)
def test_a_call_ends_where_something_is_due(step, count):
    assert steps_at_once(step, due_every=[8, 10], due_at=[47, 13], seconds_a_step=0.001) == count


@pytest.mark.parametrize(("seconds", "count"), [(math.inf, 1), (0.6, 1), (0.12, 4), (0.05, 10), (0.001, 10)])
def test_a_call_takes_half_a_second_at_most_unless_a_step_takes_longer(seconds, count):
    assert steps_at_once(20, due_every=[10], due_at=[], seconds_a_step=seconds) == count
