"""Hashes of texts by words of eight bytes."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.shards import scatter_pairs
from features.word_hashes import hash_words


def by_hand(text: str) -> int:
    """SplitMix64's finaliser of 2^64 by the golden ratio times what was there, first the size, plus the next word."""
    content = text.encode()
    state = len(content)
    for at in range(0, max(len(content), 1), 8):
        word = int.from_bytes(content[at : at + 8], "little")
        state = (state * 0x9E3779B97F4A7C15 + word) % 2**64
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
        state ^= state >> 31
    return state


@given(st.lists(st.text(max_size=40)), st.integers(0, 3))
def test_each_word_goes_in_whatever_stands_before_and_behind_a_text(texts, skipped):
    column = pa.array(texts, pa.string())
    assert hash_words(column.slice(skipped)).tolist() == [by_hand(text) for text in texts[skipped:]]


@pytest.mark.parametrize("column", [pa.array([""], pa.string()), pa.array(["", "", ""], pa.string())])
def test_a_column_of_empty_texts_has_equal_hashes(column):
    assert hash_words(column).tolist() == [0] * len(column)


def test_no_texts_have_no_hashes():
    assert hash_words(pa.array([], pa.string())).tolist() == []
    assert hash_words(pa.array(["a", "b"]).slice(2)).tolist() == []


def test_texts_that_differ_in_one_byte_or_in_zeros_behind_differ():
    texts = ["", "\0", "\0\0", "a", "a\0", "id-00000001", "id-00000002", "xd-00000001", "x" * 1024, "x" * 1023 + "y"]
    assert len(set(hash_words(pa.array(texts)).tolist())) == len(texts)


def test_pairs_are_scattered_evenly_those_of_one_query_or_one_item_too():
    many = pa.array([f"id{n}" for n in range(8_000)])
    one = pa.array(["id7"] * 8_000)
    for queries, items in ((many, many), (one, many), (many, one)):
        lines = np.bincount(scatter_pairs(queries, items, shards=8), minlength=8)
        assert len(lines) == 8
        # Six standard deviations of a draw with chance 1/8 are 177.
        assert abs(lines - 1_000).max() < 180
    assert scatter_pairs(one, one, shards=8).tolist() == scatter_pairs(one, one, shards=8)[:1].tolist() * 8_000
