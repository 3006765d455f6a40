"""A tower's first layer, of which hidden features take no part."""

import keras
import numpy as np
import tensorflow as tf

from model.network.tower import run_tower_on_shown


def test_columns_of_hidden_features_are_not_multiplied():
    tower = keras.Sequential([keras.layers.Dense(2)])
    tower.build((None, 4))
    kernel, bias = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]), tf.constant([0.5, -0.5])
    tower.set_weights([kernel, np.zeros(2)])
    # Of three features, the second of two columns; what a hidden one's columns hold is never looked at.
    columns = [tf.constant([[1.0], [2.0]]), tf.fill([2, 2], np.nan), tf.constant([[10.0], [20.0]])]
    defaults = [tf.constant([9.0]), tf.constant([1.0, -1.0]), tf.constant([9.0])]
    shown = tf.constant([1, 0, 1])
    found = run_tower_on_shown(tower, columns, shown=shown, bias=bias, defaults=defaults, precision="float32")
    # 1 * (1, 2) + (3, 4) - (5, 6) + 10 * (7, 8) + (0.5, -0.5), and with 2 and 20.
    np.testing.assert_allclose(found, [[69.5, 79.5], [140.5, 161.5]])
