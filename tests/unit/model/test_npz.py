"""Weights there and back."""

import zipfile

import numpy as np
import pytest
import tensorflow as tf

from model.network.npz import assign, of_finished, pack, unpack
from stage.errors import StageError


def test_pack_gives_the_same_bytes_for_the_same_arrays(tmp_path):
    arrays = {"b/c": np.arange(6.0).reshape(2, 3), "a": np.array("text"), "n": np.array(7)}
    pack(str(tmp_path / "x.npz"), arrays)
    pack(str(tmp_path / "y.npz"), dict(reversed(arrays.items())))
    assert (tmp_path / "x.npz").read_bytes() == (tmp_path / "y.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    found = unpack(str(tmp_path / "x.npz"))
    assert found.keys() == arrays.keys()
    np.testing.assert_array_equal(found["b/c"], arrays["b/c"])
    assert str(found["a"]) == "text"


def test_refuses_what_is_no_whole_npz(tmp_path):
    path = tmp_path / "x.npz"
    pack(str(path), {"a": np.arange(1000)})
    whole = path.read_bytes()
    entry = whole.index(b"PK\x01\x02")  # of the table of contents; 8 bytes on, a bit says that a member is encrypted
    encrypted = whole[: entry + 8] + bytes([whole[entry + 8] | 1]) + whole[entry + 9 :]
    for content in (b"", b"not a zip", whole[:-50], encrypted):
        path.write_bytes(content)
        with pytest.raises(StageError, match=r"x\.npz: not a whole \.npz file"):
            unpack(str(path))
        with (
            pytest.raises(StageError, match=r"not a whole \.npz file: .*; restore .* --verify names a damaged one"),
            of_finished(),
        ):
            unpack(str(path))


def test_refuses_weights_of_another_shape():
    variables = {"a": tf.Variable(0.0), "table/page": tf.Variable(tf.zeros([3, 2]))}
    with pytest.raises(
        StageError, match=r"w: expected table/page \[3, 2\], found an array \[2, 2\]: trained with another spec"
    ):
        assign(variables, {"a": np.array(1.0), "table/page": np.zeros([2, 2])}, source="w")
    assert variables["a"].numpy() == 0
    with pytest.raises(StageError, match=r"^w: expected a \[\], found nothing: trained with another spec or version$"):
        assign(variables, {}, source="w")
