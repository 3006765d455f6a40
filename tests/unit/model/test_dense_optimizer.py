"""Against Keras's optimizers of the same name."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from features.spec.training import Train
from model.training.dense_optimizer import dense_optimizer


@pytest.mark.parametrize("decay", [0.0, 0.7])
@pytest.mark.parametrize(("name", "kind"), [("adam", keras.optimizers.Adam), ("adagrad", keras.optimizers.Adagrad)])
def test_moves_a_weight_as_keras_does(name, kind, decay):
    draws = np.random.default_rng(0)
    start = draws.normal(size=(4, 3))
    ours, theirs = (keras.Variable(start, dtype="float64") for _ in range(2))
    found = dense_optimizer(Train(optimizer=name, learning_rate=0.05, weight_decay=decay))
    expected = kind(0.05, weight_decay=decay or None)
    move = tf.function(lambda gradient: found.apply([gradient], [ours]), autograph=False)
    found.build([ours])
    for _ in range(5):
        gradient = tf.constant(draws.normal(size=(4, 3)))
        move(gradient)
        expected.apply([gradient], [theirs])
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)  # Keras takes 1 - 0.999 from float32
    for mine, their in zip(found.variables, expected.variables, strict=True):  # as a checkpoint keeps them
        np.testing.assert_allclose(mine, their, rtol=1e-4)


def test_adam_by_hand():
    # The first step's m / (1 - 0.9) is the gradient, v / (1 - 0.999) its square: the weight moves by the rate.
    weight = keras.Variable([1.0, 1.0])
    dense_optimizer(Train(optimizer="adam", learning_rate=0.1)).apply([tf.constant([4.0, -0.5])], [weight])
    np.testing.assert_allclose(weight, [0.9, 1.1], rtol=1e-5)
