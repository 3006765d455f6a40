"""Columns of the main task's softmax, of numbers worked out by hand."""

import numpy as np
import tensorflow as tf

from model.training.columns import Columns, column_frequency, one_column_a_key


def test_items_of_one_key_are_one_column():
    embeddings = tf.Variable([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [5.0, 6.0]])
    with tf.GradientTape() as tape:
        columns = Columns(
            embeddings.read_value(),
            keys=tf.constant([7, 9, 7, 8], tf.int64),
            copies=tf.constant([3.0, 1.0, 1.0, 2.0]),
            frequency=tf.constant([0.5, 0.1, 0.5, 0.4]),
        )
        joined, column_of = one_column_a_key(columns, tf.constant([3, 0, 2, 1], tf.int64))
    np.testing.assert_array_equal(joined.embeddings, [[1, 2], [3, 4], [5, 6]])
    assert joined.keys.numpy().tolist() == [7, 9, 8]
    assert joined.copies.numpy().tolist() == [4, 1, 2]
    np.testing.assert_allclose(joined.frequency, [0.5, 0.1, 0.4])
    assert column_of.numpy().tolist() == [2, 0, 0, 1]
    # The first of a key has all of its gradient: they are one embedding.
    upstream = tf.constant([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]])
    gradient = tape.gradient(joined.embeddings, embeddings, output_gradients=upstream)
    np.testing.assert_array_equal(gradient, [[1, 1], [2, 2], [0, 0], [4, 4]])


def test_columns_to_expect_of_an_item():
    # Of 40 examples 8 or none hold the item; with two uniform negatives for 10 examples it is one of 6 items to draw.
    counts = tf.constant([8, 0], tf.int64)
    mixed = column_frequency(counts, train_examples=40, negatives=0.2, corpus_size=6)
    np.testing.assert_allclose(mixed, [0.2 + 1 / 30, 1 / 30], rtol=1e-12)
    in_batch = column_frequency(counts, train_examples=40, negatives=0, corpus_size=6)
    np.testing.assert_allclose(in_batch, [0.2, 0.025], rtol=1e-12)
