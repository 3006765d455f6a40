"""Pseudonyms: no raw id anywhere in a dataset, and the tables still meet the log."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

KEY = "correct horse battery staple"
Json = dict[str, Any]


def json_lines(rows: list[Json]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def pseudonym(id_: str) -> bytes:
    return hashlib.blake2b(id_.encode(), key=KEY.encode(), digest_size=16).hexdigest().encode()


def readable(file: Path) -> bytes:
    """What a file says once it is taken out of its compression."""
    content = file.read_bytes()
    if file.suffix == ".gz":
        return gzip.decompress(content)
    return repr(pq.read_table(file).to_pydict()).encode() if file.suffix == ".parquet" else content


def test_no_raw_id_is_left(build: Any, write_raw: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = {
        "name": "private",
        "sources": {
            "interactions": {"path": "log.jsonl"},
            "items": {"path": "items.jsonl"},
            "queries": {"path": "queries.jsonl", "id": "user"},
            "pseudonymise": {"columns": ["query_id", "item_id"], "key_env": "PSEUDONYM_KEY"},
            "max_reject_ratio": 0.5,
        },
        "query": {"features": {"user": {"kind": "id"}, "country": {"kind": "categorical"}}},
        "item": {"features": {"film": {"kind": "id"}, "shelf": {"kind": "categorical"}}},
        "split": {"validation": 0.1, "test": 0.2},
    }
    users, films = [f"person-{n}@example.org" for n in range(9)], [f"secret-film-{n}" for n in range(6)]
    lines = [{"query_id": users[n % 9], "item_id": films[n % 5], "event": "see"} for n in range(70)]
    lines += [{"query_id": users[1], "item_id": "secret-film-unlisted", "event": "see"}, {"query_id": users[2]}]
    files = {
        "log.jsonl": json_lines(lines) + b'{"query_id": "person-3@example.org", \n',
        "items.jsonl": json_lines([{"item_id": film, "shelf": "left"} for film in films] + [{"shelf": "person-4@"}]),
        "queries.jsonl": json_lines([{"user": user, "country": "NL"} for user in users]),
    }
    monkeypatch.setenv("PSEUDONYM_KEY", KEY)
    built = build(tmp_path / "dataset", spec, "--shards", "2", raw=write_raw(tmp_path / "raw", files))

    assert built.code == 0, built.error
    places = {(row["reason"], row["file"], "content" in row) for row in built.rejects()}
    assert places == {
        ("unknown_item", "log.jsonl", False), ("missing_item_id", "log.jsonl", False), ("not_json", "log.jsonl", False),
        ("items/bad_id", "items.jsonl", False),
    }  # fmt: skip
    written = [path for path in built.directory.rglob("*") if path.is_file()]
    assert len(written) > 20
    for file in written:
        for secret in (b"person-", b"@example", b"secret-film", KEY.encode()):
            assert secret not in readable(file), file
    for said in (built.stdout, built.stderr):
        assert "person-" not in said
        assert "secret-film" not in said
    examples = [example for name in ("train", "validation", "test") for example in built.examples(name)]
    expected = {(pseudonym(line["query_id"]), pseudonym(line["item_id"])) for line in lines[:70]}
    assert {(e["query_id"][0], e["item_id"][0]) for e in examples} == expected
    # The tables got the same pseudonyms: every feature is known.
    assert all("query/country" in e and "item/shelf" in e and "item/film" in e for e in examples)
