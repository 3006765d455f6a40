"""Encoded halves, as TensorFlow reads them."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from features.example_codec import encode_half, join_halves


def parse(serialized):
    """key -> (kind, values), by the protocol buffer library."""
    example = tf.train.Example.FromString(serialized)
    found = {}
    for key, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        found[key] = (kind, list(getattr(feature, kind).value) if kind else None)
    return found


COLUMNS = {
    "query_id": pa.array(["q1", ""]),
    "query/n": pa.array([1, -1], pa.int64()),
    "query/codes": pa.array([[0, 127, 128, 2**63 - 1, -(2**63)], []], pa.large_list(pa.int64())),
    "query/tags": pa.array([["é", ""], []], pa.list_(pa.string())),
    "query/raw": pa.array([[b"\xff\x00"], [b"x", b"y"]], pa.large_list(pa.large_binary())),
    "query/x": pa.array([[], [0.5, -1e30]], pa.large_list(pa.float32())),
}


def test_each_row_is_an_example_and_an_empty_list_is_left_out():
    one, other = (parse(half) for half in encode_half(COLUMNS).to_pylist())
    assert one == {
        "query_id": ("bytes_list", [b"q1"]),
        "query/n": ("int64_list", [1]),
        "query/codes": ("int64_list", [0, 127, 128, 2**63 - 1, -(2**63)]),
        "query/tags": ("bytes_list", ["é".encode(), b""]),
        "query/raw": ("bytes_list", [b"\xff\x00"]),
    }
    assert other == {
        "query_id": ("bytes_list", [b""]),
        "query/n": ("int64_list", [-1]),
        "query/raw": ("bytes_list", [b"x", b"y"]),
        "query/x": ("float_list", [0.5, float(np.float32(-1e30))]),
    }


def test_the_bytes_are_those_that_tensorflow_writes_for_one_feature():
    value = tf.train.Feature(int64_list=tf.train.Int64List(value=[300, -1]))
    by_tensorflow = tf.train.Example(features=tf.train.Features(feature={"k": value})).SerializeToString()
    assert encode_half({"k": pa.array([[300, -1]], pa.list_(pa.int64()))}).to_pylist() == [by_tensorflow]


def test_two_halves_one_behind_the_other_are_an_example_with_both():
    items = encode_half({"item_id": pa.array(["i1", "i2"]), "item/train_count": pa.array([7, 0], pa.int64())})
    joined = join_halves(encode_half(COLUMNS), items)
    spec = {
        "query_id": tf.io.FixedLenFeature([], tf.string),
        "query/codes": tf.io.RaggedFeature(tf.int64),
        "query/x": tf.io.RaggedFeature(tf.float32),
        "item_id": tf.io.FixedLenFeature([], tf.string),
        "item/train_count": tf.io.FixedLenFeature([], tf.int64),
    }
    read = tf.io.parse_example(joined.to_pylist(), spec)
    assert read["query_id"].numpy().tolist() == [b"q1", b""]
    assert read["item_id"].numpy().tolist() == [b"i1", b"i2"]
    assert read["item/train_count"].numpy().tolist() == [7, 0]
    assert read["query/codes"].to_list() == [[0, 127, 128, 2**63 - 1, -(2**63)], []]
    assert read["query/x"].to_list() == [[], [0.5, float(np.float32(-1e30))]]


@pytest.mark.parametrize("size", [100, 127, 128, 16_383, 16_384, 2_100_000])
def test_lengths_of_one_to_four_bytes_are_read_back(size):
    text = "x" * size
    half = encode_half({"key" * 50: pa.array([text]), "n": pa.array([1], pa.int64())})
    assert parse(half[0].as_py()) == {"key" * 50: ("bytes_list", [text.encode()]), "n": ("int64_list", [1])}


def test_slices_and_no_rows_are_encoded_for_themselves():
    whole = encode_half(COLUMNS).to_pylist()
    assert encode_half({key: column.slice(1) for key, column in COLUMNS.items()}).to_pylist() == whole[1:]
    assert encode_half({key: column.slice(0, 0) for key, column in COLUMNS.items()}).to_pylist() == []


def test_a_row_of_empty_lists_is_an_empty_example():
    half = encode_half({"codes": pa.array([[]], pa.list_(pa.int64()))})
    assert parse(half[0].as_py()) == {}
    assert parse(half[0].as_py() + encode_half({"n": pa.array([5], pa.int64())})[0].as_py()) == {
        "n": ("int64_list", [5])
    }
