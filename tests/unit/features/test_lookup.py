"""Texts found among known ones."""

import numpy as np
import pyarrow as pa
import pytest

from features import lookup
from features.lookup import KnownTexts


@pytest.mark.parametrize("hash_of_all", [None, 7])
def test_known_texts_have_their_place_and_others_none(monkeypatch: pytest.MonkeyPatch, hash_of_all: int | None) -> None:
    if hash_of_all is not None:  # so that the hash tells none apart
        monkeypatch.setattr(lookup, "hash_texts", lambda texts, _: np.full(len(texts), hash_of_all, np.uint64))
    known = KnownTexts(pa.array([b"c", b"", b"b", b"a"], pa.binary()))
    for values, expected in (
        ([b"a", b"x", b"", b"a", b"c"], [3, -1, 1, 3, 0]),
        ([b"b"], [2]),
        ([b"\xff"], [-1]),
        ([], []),
    ):
        assert known.index(pa.array(values, pa.binary())).tolist() == expected
    assert KnownTexts(pa.array([], pa.binary())).index(pa.array([b"a"], pa.binary())).tolist() == [-1]


def test_what_is_known_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    known = KnownTexts(pa.array([b"a", b"b"], pa.binary()))
    monkeypatch.setattr(lookup, "index_among", lambda *_: pytest.fail("hashes all of them"))
    assert known.index(pa.array([b"b", b"b", b"a"], pa.binary())).tolist() == [1, 1, 0]
