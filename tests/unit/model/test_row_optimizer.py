"""Against Keras's optimizers, which do the same over a whole table."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from model.network.touched_rows import TouchedRows
from model.training.row_optimizer import RowOptimizer, slot_numbers


def _update(optimizer, table, ids, gradient, step):
    rows = TouchedRows(tf.constant(ids, tf.int64), tf.gather(table, ids))
    optimizer.update("t", rows, gradient=tf.constant(gradient, tf.float32), step=tf.constant(step, tf.int64))


@pytest.mark.parametrize(
    ("name", "decay", "size", "reference"),
    [
        ("adam", 0.0, 1.0, keras.optimizers.Adam(0.05)),
        ("adam", 0.0, 1e-7, keras.optimizers.Adam(0.05)),  # where its epsilon is most of what it divides by
        ("adagrad", 0.0, 1.0, keras.optimizers.Adagrad(0.05)),
        ("adam", 0.7, 1.0, keras.optimizers.Adam(0.05, weight_decay=0.7)),
        ("adagrad", 0.7, 1.0, keras.optimizers.Adagrad(0.05, weight_decay=0.7)),
    ],
)
def test_moves_rows_as_keras_does_where_all_are_touched(name, decay, size, reference):
    draws = np.random.default_rng(0)
    start = draws.normal(size=(4, 3)).astype(np.float32)
    table, expected = tf.Variable(start), keras.Variable(start)
    optimizer = RowOptimizer({"t": table}, optimizer=name, learning_rate=0.05, weight_decay=decay)
    for step in range(5):
        gradient = draws.normal(scale=size, size=(4, 3)).astype(np.float32)
        order = draws.permutation(4)
        _update(optimizer, table, order, gradient[order], step)
        reference.apply([tf.constant(gradient)], [expected])
    np.testing.assert_allclose(table, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["adam", "adagrad", "rowwise_adagrad"])
def test_leaves_other_rows_alone(name):
    table = tf.Variable(tf.ones([4, 2]))
    optimizer = RowOptimizer({"t": table}, optimizer=name, learning_rate=0.1, weight_decay=0.0)
    _update(optimizer, table, [0, 2], [[1.0, 1.0], [1.0, 1.0]], 0)
    _update(optimizer, table, [2], [[1.0, 1.0]], 1)
    np.testing.assert_array_equal(table.numpy()[[1, 3]], np.ones([2, 2]))
    before = table.numpy()[0].copy()
    _update(optimizer, table, [2], [[1.0, 1.0]], 2)
    np.testing.assert_array_equal(table.numpy()[0], before)


def test_adagrad_by_hand():
    # accumulator 0.1 + 2^2 = 4.1; change 0.1 * 2 / sqrt(4.1) = 0.0987730
    table = tf.Variable([[1.0]])
    optimizer = RowOptimizer({"t": table}, optimizer="adagrad", learning_rate=0.1, weight_decay=0.0)
    _update(optimizer, table, [0], [[2.0]], 0)
    assert float(table[0, 0]) == pytest.approx(1 - 0.0987730, abs=1e-6)


def test_rowwise_adagrad_by_hand():
    # accumulator 0.1 + (2^2 + 4^2) / 2 = 10.1; changes 0.1 * 2 / sqrt(10.1) = 0.0629318, and twice that
    table = tf.Variable([[1.0, 1.0], [5.0, 5.0]])
    optimizer = RowOptimizer({"t": table}, optimizer="rowwise_adagrad", learning_rate=0.1, weight_decay=0.0)
    _update(optimizer, table, [0], [[2.0, 4.0]], 0)
    np.testing.assert_allclose(table, [[1 - 0.0629318, 1 - 0.1258636], [5, 5]], atol=1e-6)
    np.testing.assert_allclose(optimizer.slots["t/accumulator"], [[10.1], [0.1]], rtol=1e-6)
    # 10.1 + (1^2 + 1^2) / 2 = 11.1; changes 0.1 / sqrt(11.1) = 0.0300150
    _update(optimizer, table, [0], [[1.0, 1.0]], 1)
    np.testing.assert_allclose(table[0], [1 - 0.0929468, 1 - 0.1558786], atol=1e-6)


@pytest.mark.parametrize(("name", "numbers"), [("adam", 16), ("adagrad", 8), ("rowwise_adagrad", 1)])
def test_slots_take_what_is_said(name, numbers):
    optimizer = RowOptimizer({"t": tf.Variable(tf.zeros([3, 8]))}, optimizer=name, learning_rate=0.1, weight_decay=0.0)
    assert slot_numbers(name, dim=8) == numbers
    assert sum(slot.shape.num_elements() for slot in optimizer.slots.values()) == 3 * numbers
