"""Pseudonyms: no raw id anywhere in a dataset, and the tables still meet the log."""

import gzip
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from in_process import run
from json_lines import json_lines

from model import export, train
from model.serving.retriever import Retriever
from pipelines import run as run_stages
from stage.errors import UsageError

KEY = "correct horse battery staple"
Json = dict[str, Any]


def pseudonym(id_: str) -> bytes:
    return hashlib.blake2b(id_.encode(), key=KEY.encode(), digest_size=16).hexdigest().encode()


def readable(file: Path) -> bytes:
    """What a file says once it is taken out of its compression."""
    content = file.read_bytes()
    if file.suffix == ".gz":
        return gzip.decompress(content)
    return repr(pq.read_table(file).to_pydict()).encode() if file.suffix == ".parquet" else content


USERS, FILMS = [f"person-{n}@example.org" for n in range(9)], [f"secret-film-{n}" for n in range(6)]
LINES = [{"query_id": USERS[n % 9], "item_id": FILMS[n % 5], "event": "see"} for n in range(70)]


@pytest.fixture(scope="module")
def built(build: Any, write_raw: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A dataset of pseudonyms, and how its build ended."""
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
    more = [{"query_id": USERS[1], "item_id": "secret-film-unlisted", "event": "see"}, {"query_id": USERS[2]}]
    files = {
        "log.jsonl": json_lines(LINES + more) + b'{"query_id": "person-3@example.org", \n',
        "items.jsonl": json_lines([{"item_id": film, "shelf": "left"} for film in FILMS] + [{"shelf": "person-4@"}]),
        "queries.jsonl": json_lines([{"user": user, "country": "NL"} for user in USERS]),
    }
    directory = tmp_path_factory.mktemp("private")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PSEUDONYM_KEY", KEY)
        return build(directory / "dataset", spec, "--shards", "2", raw=write_raw(directory / "raw", files))


def test_no_raw_id_is_left(built: Any) -> None:
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
    expected = {(pseudonym(line["query_id"]), pseudonym(line["item_id"])) for line in LINES}
    assert {(e["query_id"][0], e["item_id"][0]) for e in examples} == expected
    # The tables got the same pseudonyms: every feature is known.
    assert all("query/country" in e and "item/shelf" in e and "item/film" in e for e in examples)


def test_a_dataset_of_another_key_is_not_the_same(
    built: Any, build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, output = built.directory.parent / "raw", tmp_path / "dataset"
    shutil.copytree(built.directory, output)
    spec = yaml.safe_load(built.directory.with_suffix(".yaml").read_text())
    found = {}
    for key in (KEY, "another horse battery staple"):
        monkeypatch.setenv("PSEUDONYM_KEY", key)
        again = build(output, spec, "--shards", "2", "--skip-done", raw=raw)
        stages = ("--spec", output.with_suffix(".yaml"), "--raw", raw, "--output", tmp_path, "--until", "build-dataset")
        code, _, said = run(run_stages.main, *stages)
        found[key] = [(again.code, again.error), (code, said.splitlines()[-1])]
    assert found == {
        KEY: [(0, f"build-dataset: done before, in {output}")] * 2,
        "another horse battery staple": [
            (
                1,
                f"error: {output}: is finished already, made from another input (pseudonyms); --overwrite makes it "
                "again",
            ),
            (
                1,
                f"error: {output}: was made from another input (pseudonyms); --overwrite makes it again, or give "
                "another --output",
            ),
        ],
    }


def test_an_export_knows_pseudonyms_alone(built: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, model, exported = built.directory, tmp_path / "model", tmp_path / "export"
    small = ("--set", "ssl.alpha=0", "--set", "train={epochs: 1, batch_size: 16, input_streams: 2}")
    for main, arguments in (
        (train.main, ("--dataset", dataset, "--output", model, *small)),
        (export.main, ("--model", model, "--dataset", dataset, "--output", exported)),
    ):
        code, _, error = run(main, *arguments)
        assert code == 0, error
    # Model and export say of which key they are, and a run knows them for its own.
    for made in (model, exported):
        inputs = json.loads((made / "manifest.json").read_bytes())["inputs"]
        assert inputs["pseudonyms"] == built.manifest["inputs"]["pseudonyms"]
    (tmp_path / "dataset").symlink_to(dataset)
    monkeypatch.setenv("PSEUDONYM_KEY", KEY)
    where = ("--spec", dataset.with_suffix(".yaml"), "--raw", dataset.parent / "raw", "--output", tmp_path)
    code, _, said = run(run_stages.main, *where, "--until", "train", *small)
    assert (code, said.count("done before")) == (0, 2)
    monkeypatch.delenv("PSEUDONYM_KEY")
    # Without the key, as where it is served; a raw id is no item's, so it leaves nothing out.
    retriever = Retriever.open(str(exported))
    user, seen = pseudonym(USERS[0]).decode(), pseudonym(FILMS[0]).decode()
    found = retriever.recommend(user, exclude=[seen, FILMS[1]])
    assert {one.item_id for one in found} == {pseudonym(film).decode() for film in FILMS[1:]}
    told = r", whose ids are pseudonyms \(sources.pseudonymise\)"
    with pytest.raises(UsageError, match=f"^query '{USERS[0]}': not one of those of this export{told}"):
        retriever.recommend(USERS[0])
    with pytest.raises(UsageError, match=f"^item '{FILMS[1]}': not one of the .* of this export{told}"):
        retriever.similar(FILMS[1])
    for file in (path for path in exported.rglob("*") if path.is_file()):
        assert b"person-" not in readable(file), file
        assert b"secret-film" not in readable(file), file
