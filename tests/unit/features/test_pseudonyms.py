"""Pseudonyms: keyed hashes of ids, and where the key comes from."""

import hashlib
import os
import pickle

import pyarrow as pa
import pytest

from features.pseudonyms import Pseudonyms, load_pseudonyms
from features.spec.sources import Pseudonymise
from stage.errors import StageError

KEY = b"sixteen bytes ok"


def by_hand(text):
    return hashlib.blake2b(text.encode(), key=KEY, digest_size=16).hexdigest()


def test_only_the_named_ids_are_replaced():
    rows = pa.table({"query_id": ["u", "v", "u", None], "item_id": ["i", "i", "j", "k"]})
    found = Pseudonyms(("query_id",), KEY).replace(rows)
    assert found.column("query_id").to_pylist() == [by_hand("u"), by_hand("v"), by_hand("u"), None]
    assert found.column("item_id").to_pylist() == ["i", "i", "j", "k"]
    assert found.column_names == ["query_id", "item_id"]


def test_a_table_s_ids_are_replaced_where_the_log_s_are():
    assert Pseudonyms(("query_id",), KEY).of_table("query_id") == Pseudonyms(("id",), KEY)
    assert Pseudonyms(("query_id",), KEY).of_table("item_id") == Pseudonyms()


def test_another_key_gives_other_pseudonyms_and_none_at_all_leaves_the_rows():
    ids = pa.array(["u"])
    assert Pseudonyms(("query_id",), b"another key, ok?").of(ids) != Pseudonyms(("query_id",), KEY).of(ids)
    rows = pa.table({"query_id": ["u"]})
    assert load_pseudonyms(None).replace(rows).equals(rows)
    assert Pseudonyms(("item_id",), KEY).replace(rows).equals(rows)


def test_the_key_never_shows():
    assert "sixteen" not in repr(Pseudonyms(("query_id",), KEY))


def test_a_digest_tells_keys_and_columns_apart_and_is_no_id_s_pseudonym():
    both = Pseudonyms(("query_id", "item_id"), KEY)
    alike = Pseudonyms(("item_id", "query_id"), KEY, key_file="gs://bucket/key")
    others = [Pseudonyms(("query_id",), KEY), Pseudonyms(("query_id", "item_id"), b"another key, ok?")]
    assert both.digests == alike.digests
    digests = [one.digests["pseudonyms"] for one in (both, *others)]
    assert [len(digest) for digest in digests] == [32, 32, 32]
    assert len({*digests, by_hand("item_id query_id"), by_hand("query_id")}) == 5
    assert load_pseudonyms(None).digests == {}


def test_the_key_comes_from_the_environment_or_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv("THE_KEY", KEY.decode())
    (tmp_path / "key").write_bytes(KEY + b"\n")
    from_environment = load_pseudonyms(Pseudonymise(key_env="THE_KEY"))
    from_file = load_pseudonyms(Pseudonymise(key_file=str(tmp_path / "key")))
    assert from_environment == from_file == Pseudonyms(("query_id",), KEY)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (b"\t" + KEY + b" \n", b"\t" + KEY + b" "),
        (KEY + b"\n\n", KEY + b"\n"),
        (KEY + b"\r\n", KEY),
        (KEY + b"\r", KEY + b"\r"),
    ],
)
def test_of_a_key_s_file_one_newline_at_the_end_is_no_part_of_the_key(tmp_path, content, key):
    (tmp_path / "key").write_bytes(content)
    assert load_pseudonyms(Pseudonymise(key_file=str(tmp_path / "key"))).key == key


def test_a_key_on_gs_is_not_in_what_workers_are_sent(monkeypatch):
    files = {"gs://bucket/key": KEY + b"\n"}
    monkeypatch.setattr("features.pseudonyms.storage.read_bytes", files.__getitem__)
    loaded = load_pseudonyms(Pseudonymise(columns=["query_id", "item_id"], key_file="gs://bucket/key"))
    sent = pickle.dumps((loaded, loaded.of_table("item_id")))
    assert KEY not in sent
    # A worker reads it for itself.
    assert pickle.loads(sent) == (Pseudonyms(("query_id", "item_id"), KEY), Pseudonyms(("id",), KEY))
    files["gs://bucket/key"] = b"too short"
    with pytest.raises(StageError, match="file gs://bucket/key, found 9"):
        pickle.loads(sent)


def test_workers_are_sent_a_key_that_they_may_not_see(monkeypatch, tmp_path):
    monkeypatch.setenv("THE_KEY", KEY.decode())
    (tmp_path / "key").write_bytes(KEY)
    for section in (Pseudonymise(key_env="THE_KEY"), Pseudonymise(key_file=str(tmp_path / "key"))):
        sent = pickle.dumps(load_pseudonyms(section))
        monkeypatch.delenv("THE_KEY", raising=False)
        assert pickle.loads(sent) == Pseudonyms(("query_id",), KEY)
    (tmp_path / "key").unlink()
    assert pickle.loads(sent).key == KEY


@pytest.mark.parametrize("length", [16, 64])
def test_a_key_of_the_least_or_the_greatest_length_is_taken(monkeypatch, length):
    monkeypatch.setenv("THE_KEY", "x" * length)
    assert load_pseudonyms(Pseudonymise(key_env="THE_KEY")).key == b"x" * length


def test_a_key_in_the_environment_may_be_any_bytes(monkeypatch):
    monkeypatch.setitem(os.environb, b"THE_KEY", b"\xff" * 16)
    assert load_pseudonyms(Pseudonymise(key_env="THE_KEY")).key == b"\xff" * 16


@pytest.mark.parametrize(("key", "length"), [("", 0), ("x" * 15, 15), ("x" * 65, 65)])
def test_a_key_of_the_wrong_length_is_refused_without_showing_it(monkeypatch, key, length):
    monkeypatch.setenv("THE_KEY", key)
    with pytest.raises(StageError) as caught:
        load_pseudonyms(Pseudonymise(key_env="THE_KEY"))
    assert str(caught.value) == (
        f"sources.pseudonymise: expected a key of 16 to 64 bytes in environment variable THE_KEY, found {length}"
    )


def test_a_missing_key_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("NO_KEY", raising=False)
    with pytest.raises(StageError, match="environment variable NO_KEY, which is not set"):
        load_pseudonyms(Pseudonymise(key_env="NO_KEY"))
    with pytest.raises(StageError, match="nowhere: cannot be read: No such file"):
        load_pseudonyms(Pseudonymise(key_file=str(tmp_path / "nowhere")))
