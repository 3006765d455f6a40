"""Row ids."""

import pytest
import tensorflow as tf
from ragged_lists import ragged

from model.network.row_ids import row_ids


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[5, 6], [], [7], [], []], [0, 0, 2]),
        ([[], [], [8]], [2]),
        ([[], []], []),
        ([[]], []),
    ],
)
def test_each_value_knows_its_row(rows, expected):
    values = ragged(rows)
    assert row_ids(values).numpy().tolist() == expected


def test_of_no_row_there_are_none():
    assert row_ids(tf.RaggedTensor.from_row_splits(tf.zeros([0], tf.int64), tf.zeros([1], tf.int64))).shape == (0,)
