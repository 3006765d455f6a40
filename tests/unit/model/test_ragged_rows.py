"""Rows of a ragged tensor."""

import pytest
import tensorflow as tf
from ragged_lists import ragged

from model.training.ragged_rows import rows_at

_ROWS = [[5, 6], [], [7], [8, 9, 10]]


@pytest.mark.parametrize(
    ("indices", "expected"),
    [
        ([3, 0], [[8, 9, 10], [5, 6]]),
        ([2, 2, 1], [[7], [7], []]),
        ([1], [[]]),
        ([], []),
    ],
)
def test_rows_come_in_the_order_asked_for(indices, expected):
    values = ragged(_ROWS)
    assert rows_at(values, tf.constant(indices, tf.int64)).to_list() == expected


def test_numbers_are_values_too():
    numbers = ragged([[0.5], [], [-1.5]], tf.float32)
    assert rows_at(numbers, tf.constant([2, 1], tf.int64)).to_list() == [[-1.5], []]
