"""Text is taken apart in Arrow as in the TFT graph."""

import pyarrow as pa
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from features.preprocessing import _values
from features.spec.features import TextFeature
from features.tokens import ngrams, words

texts = st.lists(st.text(max_size=20) | st.text("aB İıß-. \x00\u0301", max_size=20), min_size=1, max_size=5)
widths = st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True)


@given(texts, widths)
def test_arrow_tokens_equal_those_of_the_graph(texts, widths):
    rows = tf.range(len(texts), dtype=tf.int64)
    values = tf.constant([text.encode() for text in texts])
    raw = tf.SparseTensor(tf.stack([rows, tf.zeros_like(rows)], 1), values, [len(texts), 1])
    found = tf.RaggedTensor.from_sparse(_values(raw, TextFeature(kind="text", ngrams=widths)))
    graph = [[token.decode() for token in row] for row in found.to_list()]
    assert ngrams(words(pa.array(texts)), widths).to_pylist() == graph
