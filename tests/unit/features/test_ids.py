"""Ids: which can be used."""

import pyarrow as pa
import pytest

from features.ids import valid_ids


@pytest.mark.parametrize(
    ("text", "valid"),
    [("a", True), (" ", True), ("é" * 512, True), ("", False), (None, False), ("é" * 513, False), ("a\n", False),
     ("\x7f", False), ("\x00", False)],
)  # fmt: skip
def test_an_id_is_valid_if_it_is_short_and_on_one_line(text, valid):
    assert valid_ids(pa.array([text], pa.string())).to_pylist() == [valid]


def test_ids_of_a_slice_are_its_own():
    ids = pa.array(["a\n", "b", "c\n", "d\n"])
    assert valid_ids(ids.slice(1, 2)).to_pylist() == [True, False]
