"""Pseudonyms: no raw id anywhere in a dataset, and the tables still meet the log."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from in_process import run
from private_log import FILES, FILMS, KEY, PAIRS, SPEC, USERS, pseudonym

from model import export, train
from model.serving.retriever import Retriever
from pipelines import run as run_stages
from stage.errors import UsageError

Json = dict[str, Any]


def readable(file: Path) -> bytes:
    """What a file says once it is taken out of its compression."""
    content = file.read_bytes()
    if file.suffix == ".gz":
        return gzip.decompress(content)
    return repr(pq.read_table(file).to_pydict()).encode() if file.suffix == ".parquet" else content


@pytest.fixture(scope="module")
def built(build: Any, write_raw: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A dataset of pseudonyms, and how its build ended."""
    directory = tmp_path_factory.mktemp("private")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PSEUDONYM_KEY", KEY)
        return build(directory / "dataset", SPEC, "--shards", "2", raw=write_raw(directory / "raw", FILES))


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
    assert {(e["query_id"][0].decode(), e["item_id"][0].decode()) for e in examples} == PAIRS
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
    user, seen = pseudonym(USERS[0]), pseudonym(FILMS[0])
    found = retriever.recommend(user, exclude=[seen, FILMS[1]])
    assert {one.item_id for one in found} == {pseudonym(film) for film in FILMS[1:]}
    told = r", whose ids are pseudonyms \(sources.pseudonymise\)"
    with pytest.raises(UsageError, match=f"^query '{USERS[0]}': not one of those of this export{told}"):
        retriever.recommend(USERS[0])
    with pytest.raises(UsageError, match=f"^item '{FILMS[1]}': not one of the .* of this export{told}"):
        retriever.similar(FILMS[1])
    for file in (path for path in exported.rglob("*") if path.is_file()):
        assert b"person-" not in readable(file), file
        assert b"secret-film" not in readable(file), file
