"""Values that a flag keeps."""

import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from ragged_lists import ragged

from model.network.kept_values import keep_values


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=5), max_size=6))
def test_keep_values_is_a_filter_of_each_row(rows):
    values = ragged([[v for v, _ in row] for row in rows])
    flags = tf.constant([keep for row in rows for _, keep in row], tf.bool)
    assert keep_values(values, flags).to_list() == [[v for v, keep in row if keep] for row in rows]
