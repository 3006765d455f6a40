"""Rows of length 1, of which equal ones stay equal."""

import numpy as np
import pytest
import tensorflow as tf

from model.network.unit_length import unit_length


def test_rows_have_length_one_and_a_row_of_zeros_stays():
    found = unit_length(tf.constant([[3.0, 4.0], [0.0, 0.0], [0.0, -0.5]])).numpy()
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0], [0, -1]], rtol=1e-6)


def test_the_gradient_is_that_of_the_length_and_of_zeros_that_of_length_one():
    rows = tf.constant([[3.0, 4.0], [0.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(rows)
        first = tf.reduce_sum(unit_length(rows)[:, 0])
    # d (x / r) / dx = y^2 / r^3, d (x / r) / dy = -x y / r^3.
    np.testing.assert_allclose(tape.gradient(first, rows).numpy(), [[16 / 125, -12 / 125], [1, 0]], rtol=1e-6)


@pytest.mark.parametrize("copies", [60, 101])
def test_equal_rows_stay_equal_wherever_they_stand(copies):
    """The last copies of some had another last bit than the others."""
    graph = tf.function(unit_length, input_signature=[tf.TensorSpec([None, 24])], autograph=False)
    for row in np.random.default_rng(0).normal(size=(50, 24)).astype(np.float32):
        found = graph(np.tile(row, (copies, 1))).numpy()
        assert np.unique(found, axis=0).shape[0] == 1
