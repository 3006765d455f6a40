"""Draws without state."""

import numpy as np
import tensorflow as tf

from model.network.draws import draw_key, uniform_values

MASK = 2**64 - 1


def _splitmix64(state):
    z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def test_values_are_drawn_by_splitmix64():
    # The first output from seed 1234567 is its published test vector.
    assert _splitmix64(1234567 + 0x9E3779B97F4A7C15) == 6457827717110365317
    first, second = 2**63 + 5, 7
    start = _splitmix64(first + _splitmix64(second) & MASK)
    outputs = [(row << 32) + index for row, index in ((0, 0), (0, 1), (3, 2))]
    expected = [(_splitmix64(start + (n + 1) * 0x9E3779B97F4A7C15 & MASK) >> 40) / 2**24 for n in outputs]
    key = tf.constant([first - 2**64, second], tf.int64)
    found = uniform_values(key, rows=tf.constant([0, 0, 3], tf.int64), indices=tf.constant([0, 1, 2], tf.int64))
    assert found.numpy().tolist() == expected


def test_values_are_uniform_and_of_different_steps_and_purposes_independent():
    rows, indices = (tf.constant(part.ravel()) for part in np.mgrid[0:1000, 0:20])
    keys = [draw_key(42, "values", 0), draw_key(42, "values", 1), draw_key(42, "others", 0), draw_key(43, "values", 0)]
    draws = np.stack([uniform_values(key, rows=rows, indices=indices) for key in keys])
    # Of 20,000 a tenth has a standard deviation of 42, a correlation one of 0.007.
    counts = np.stack([np.histogram(of_key, bins=10, range=(0, 1))[0] for of_key in draws])
    assert np.all(abs(counts - 2000) < 200)
    neighbours = [np.corrcoef(of_key[:-shift], of_key[shift:])[0, 1] for of_key in draws for shift in (1, 20)]
    between = np.corrcoef(draws)[np.triu_indices(4, 1)]
    assert np.all(np.abs([*neighbours, *between]) < 0.035)
