"""What goes into an encoded half comes out of it, by TensorFlow's own reader."""

import numpy as np
import pyarrow as pa
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from features.example_codec import encode_half, join_halves
from features.records import add_digests, digest_records

int64 = st.integers(-(2**63), 2**63 - 1)
float32 = st.floats(width=32, allow_nan=False)
row = st.tuples(
    st.text(max_size=200),
    int64,
    st.lists(int64, max_size=4),
    st.lists(st.text(max_size=5), max_size=4),
    st.lists(float32, max_size=4),
)


def encode(rows, prefix):
    text, number, numbers, texts, floats = zip(*rows, strict=True)
    columns = {
        "text": pa.array(text, pa.string()),
        "number": pa.array(number, pa.int64()),
        "numbers": pa.array(numbers, pa.large_list(pa.int64())),
        "texts": pa.array(texts, pa.list_(pa.string())),
        "floats": pa.array(floats, pa.large_list(pa.float32())),
    }
    return encode_half({f"{prefix}/{key}": column for key, column in columns.items()})


def expected(row, prefix):
    text, number, numbers, texts, floats = row
    lists = {
        "text": tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()])),
        "number": tf.train.Feature(int64_list=tf.train.Int64List(value=[number])),
        "numbers": tf.train.Feature(int64_list=tf.train.Int64List(value=numbers)) if numbers else None,
        "texts": tf.train.Feature(bytes_list=tf.train.BytesList(value=[t.encode() for t in texts])) if texts else None,
        "floats": tf.train.Feature(float_list=tf.train.FloatList(value=floats)) if floats else None,
    }
    return {f"{prefix}/{key}": feature for key, feature in lists.items() if feature is not None}


@given(st.lists(st.tuples(row, row), min_size=1, max_size=6))
def test_joined_halves_parse_to_what_was_put_in(rows):
    joined = join_halves(encode([q for q, _ in rows], "query"), encode([i for _, i in rows], "item")).to_pylist()
    for serialized, (query, item) in zip(joined, rows, strict=True):
        example = tf.train.Example.FromString(serialized)
        wanted = tf.train.Example(features=tf.train.Features(feature=expected(query, "query") | expected(item, "item")))
        assert example == wanted
    floats = tf.io.parse_example(joined, {"item/floats": tf.io.RaggedFeature(tf.float32)})["item/floats"].to_list()
    assert floats == [[float(np.float32(x)) for x in item[4]] for _, item in rows]


@given(st.lists(row, max_size=8), st.integers(0, 8))
def test_a_half_does_not_depend_on_its_batch(rows, cut):
    whole = encode(rows, "item").to_pylist() if rows else []
    parts = [encode(part, "item").to_pylist() for part in (rows[:cut], rows[cut:]) if part]
    assert whole == [half for part in parts for half in part]


@given(st.lists(st.binary(max_size=50), max_size=8), st.randoms(use_true_random=False), st.integers(0, 8))
def test_the_digest_of_records_knows_no_order_and_adds_up_over_parts(records, random, cut):
    whole = digest_records(records)
    shuffled = random.sample(records, len(records))
    assert digest_records(shuffled) == whole
    assert add_digests([digest_records(shuffled[:cut]), digest_records(shuffled[cut:])]) == whole
    assert digest_records([*records, b"one more"]) != whole
