"""Ids among known ones, whatever their hashes."""

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from features import known_ids
from features.hashing import hash_texts
from features.known_ids import KnownIds

KNOWN = ["bee", "ant", "", "\u00e9", "cat", "ant"]


@pytest.mark.parametrize("length_is_hash", [False, True])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary()])
def test_an_id_is_found_at_its_first_place(
    monkeypatch: pytest.MonkeyPatch, kind: pa.DataType, length_is_hash: bool
) -> None:
    if length_is_hash:  # three known ids of one hash, and two others of theirs that are unknown
        monkeypatch.setattr(
            known_ids, "hash_texts", lambda texts, _: np.array([len(one.as_py()) for one in texts], np.uint64)
        )
    known = KnownIds(pa.array(KNOWN, pa.string()).cast(kind))
    ids = pa.array(["cat", "dog", "ant", "", "owl", "bee", "\u00e9", "elephant", "cat"], pa.string())
    wanted = [4, -1, 1, 2, -1, 0, 3, -1, 4]
    assert known.index(ids.cast(kind)).tolist() == wanted
    assert known.index(pa.chunked_array([ids[:4], ids[4:4], ids[4:]]).cast(kind)).tolist() == wanted
    assert known.index(pa.array([], kind)).tolist() == []


def test_among_none_none_is_found() -> None:
    assert KnownIds(pa.array([], pa.string())).index(pa.array(["a", ""])).tolist() == [-1, -1]
    assert KnownIds(pa.array(["a"])).index(pa.chunked_array([], pa.string())).tolist() == []


def test_known_ids_are_hashed_once_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []

    def count(texts: pa.Array, seed: int) -> NDArray[np.uint64]:
        hashed.append(len(texts))
        return hash_texts(texts, seed)

    monkeypatch.setattr(known_ids, "_HASHED_AT_ONCE", 4)
    monkeypatch.setattr(known_ids, "hash_texts", count)
    known = KnownIds(pa.array(KNOWN))
    assert [known.index(pa.array([one]))[0] for one in ("ant", "eel")] == [1, -1]
    assert hashed == [4, 2, 1, 1]
