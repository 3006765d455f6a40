"""Rows are added up to a multiple of 32, and taken away again."""

import numpy as np
import pytest
import tensorflow as tf

from model.network.padding import first_rows, pad_rows, padding_of


@pytest.mark.parametrize(("rows", "added"), [(0, 0), (1, 31), (31, 1), (32, 0), (33, 31), (677, 27), (704, 0)])
def test_how_many_rows_are_added(rows, added):
    assert int(padding_of(tf.constant(rows))) == added


def test_rows_of_zeros_come_below_and_have_no_part_in_the_gradient():
    matrix = tf.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    with tf.GradientTape() as tape:
        tape.watch(matrix)
        padded = pad_rows(matrix)
        found = first_rows(tf.square(padded), tf.constant(2))
    assert padded.shape == (32, 2)
    np.testing.assert_array_equal(padded[3:], 0)
    np.testing.assert_array_equal(found, [[1, 4], [9, 16]])
    np.testing.assert_array_equal(tape.gradient(found, matrix), [[2, 4], [6, 8], [0, 0]])
