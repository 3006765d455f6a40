import numpy as np
import pytest
import tensorflow as tf

from model.network.numpy_rows import _empty, in_order, joined, rows_apart, rows_where

CODES = [(np.array([1, 2, 3]), np.array([2, 0, 1])), (np.array([4, 5]), np.array([2]))]
VECTORS = [
    (np.array([[1.0, 2.0]], np.float32), np.array([0, 1])),
    (np.array([[3.0, 4.0]], np.float32), np.array([1])),
]


@pytest.mark.parametrize("shape", [(0,), (0, 3), (1,), (7, 3), (1 << 18,)])
def test_values_lie_where_tensorflow_computes_with_them(shape):
    arrays = [_empty(shape, np.float32) for _ in range(4)]
    assert [array.ctypes.data % 64 for array in arrays] == [0] * 4
    assert {(array.shape, array.dtype.name, array.flags.c_contiguous) for array in arrays} == {(shape, "float32", True)}


def test_rows_of_parts_are_put_in_order():
    assert in_order(CODES, np.array([3, 1, 2, 0])).to_list() == [[4, 5], [], [3], [1, 2]]
    found = in_order(VECTORS, np.array([2, 0, 1]))
    assert found.to_list() == [[[3.0, 4.0]], [], [[1.0, 2.0]]]
    assert (found.dtype, found.shape.as_list(), found.row_splits.dtype) == (tf.float32, [3, None, 2], tf.int64)
    assert (found * 2).to_list() == [[[6.0, 8.0]], [], [[2.0, 4.0]]]


def test_rows_of_parts_are_joined_as_they_come():
    assert joined(CODES).to_list() == [[1, 2], [], [3], [4, 5]]
    found = joined(VECTORS)
    assert found.to_list() == [[], [[1.0, 2.0]], [[3.0, 4.0]]]
    assert (found.dtype, found.shape.as_list(), found.row_splits.dtype) == (tf.float32, [3, None, 2], tf.int64)
    counts = joined([np.array([7, 8], np.int32), np.array([], np.int32), np.array([9], np.int32)])
    assert (counts.numpy().tolist(), counts.dtype) == ([7, 8, 9], tf.int32)


def test_some_rows_of_a_part():
    values, lengths = rows_where(CODES[0], np.array([True, True, False]))
    assert (values.tolist(), lengths.tolist()) == ([1, 2], [2, 0])
    assert rows_where(np.array([5, 6, 7]), np.array([True, False, True])).tolist() == [5, 7]


def test_rows_are_taken_apart():
    apart = rows_apart({"words": tf.ragged.constant([[1], [], [2, 3]]), "count": tf.constant([4, 5, 6])})
    assert [part.numpy().tolist() for part in apart["words"]] == [[1, 2, 3], [1, 0, 2]]
    assert apart["count"].numpy().tolist() == [4, 5, 6]
