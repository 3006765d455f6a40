"""What a dataset's content depends on: input and spec; not shards, batches, part files, formats or held-out lines."""

import json
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tensorflow as tf
from json_lines import json_lines
from manifests import rewrite
from published_exports import publish_export

from features.hashing import as_fraction, hash_pairs
from stage.manifest import Manifest
from stage.published import trained_on

Json = dict[str, Any]
LEARNED = ("train", "items", "entities/items", "mutual_information", "constants", "vocabularies/")
"""Parts of the content that only training pairs and the item table may touch."""


def learned(content: Mapping[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in content.items() if name.startswith(LEARNED)}


def without_rejects(content: Mapping[str, str]) -> dict[str, str]:
    """Rejects name files, which other part files change."""
    return {name: digest for name, digest in content.items() if name != "rejects"}


def lines_of(content: bytes) -> list[Json]:
    return [json.loads(line) for line in content.splitlines()]


def records_of(built: Any) -> list[tuple[str, str]]:
    """(folder, SHA-256) of each file of examples; their names hold the run's id."""
    files = [file for file in built.manifest["files"] if file["name"].endswith(".tfrecord.gz")]
    return sorted((file["name"].partition("/")[0], file["sha256"]) for file in files)


def test_lines_in_another_order_give_the_same_files_of_examples(
    shop: Any, shop_dataset: Any, build: Any, write_raw: Any, tmp_path: Path
) -> None:
    logs = [content if content.endswith(b"\n") else content + b"\n" for n, content in shop.files.items() if "log/" in n]
    lines = b"".join(logs).splitlines(keepends=True)
    tables = {name: content for name, content in shop.files.items() if "log/" not in name}
    raw = write_raw(tmp_path / "raw", {"log/a.jsonl": b"".join(reversed(lines))} | tables)
    again = build(tmp_path / "again", shop.spec, "--shards", "3", raw=raw)
    assert again.code == 0, again.error
    assert len(records_of(again)) == 12
    assert records_of(again) == records_of(shop_dataset)


@pytest.mark.usefixtures("small_blocks")
def test_other_part_files_eight_shards_hot_queries_and_a_join_by_shuffle_give_the_same(
    *, shop: Any, shop_dataset: Any, build: Any, write_raw: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.aggregation.placement.HOT_EXAMPLES", 5)
    logs = [content if content.endswith(b"\n") else content + b"\n" for n, content in shop.files.items() if "log/" in n]
    lines = b"".join(logs).splitlines(keepends=True)
    # Plain files are read in ranges; the last lines come first.
    files = {"log/a.jsonl": b"".join(lines[200:]), "log/b.jsonl": b"".join(lines[:200])}
    tables = {name: content for name, content in shop.files.items() if "log/" not in name}
    raw = write_raw(tmp_path / "raw", files | tables)
    flags = ["--shards", "8", "--set", "sources.item_join=shuffle"]
    again = build(tmp_path / "again", shop.spec, *flags, raw=raw)
    files_of = defaultdict(set)
    for file in again.files("train"):
        for record in tf.data.TFRecordDataset(str(file), "GZIP"):
            example = tf.train.Example.FromString(record.numpy())
            files_of[example.features.feature["query_id"].bytes_list.value[0]].add(file)
    assert sum(len(files) > 1 for files in files_of.values()) > 2
    assert without_rejects(again.content) == without_rejects(shop_dataset.content)
    assert again.manifest["counts"] == shop_dataset.manifest["counts"]
    assert again.manifest["rejected"] == shop_dataset.manifest["rejected"]


def test_what_only_held_out_queries_say_is_not_learned(
    shop: Any, shop_dataset: Any, build: Any, write_raw: Any, tmp_path: Path
) -> None:
    held_out = {id_ for id_, row in shop_dataset.entities("queries").items() if row["train_count"] == 0}
    assert len(held_out) > 3
    queries = lines_of(shop.files["queries.jsonl"])
    changed = [row | {"interests": ["secret", "secret"]} if str(row["user"]) in held_out else row for row in queries]
    assert changed != queries
    known = {
        (e["query_id"][0], e["item_id"][0])
        for name in ("train", "validation", "test")
        for e in shop_dataset.examples(name)
    }
    users = ["u0", "u1", "u2", "secret_user", "secret"]
    held_out_pairs = [
        (user, f"app{n}")
        for user in users
        for n in range(36)
        if (user.encode(), b"app%d" % n) not in known
        and as_fraction(hash_pairs(pa.array([user]), pa.array([f"app{n}"]), seed=3))[0] < 0.4
    ]
    assert len(held_out_pairs) > 20
    lines = [{"who": user, "what": app, "how": "get", "when": 5} for user, app in held_out_pairs]
    changed += [{"user": user, "interests": ["secret", "art"]} for user in users[3:]]
    files = shop.files | {"queries.jsonl": json_lines(changed), "log/9.jsonl": json_lines(lines)}
    planted = build(tmp_path / "planted", shop.spec, "--shards", "2", raw=write_raw(tmp_path / "raw", files))

    assert learned(planted.content) == learned(shop_dataset.content)
    assert planted.content["test"] != shop_dataset.content["test"]
    assert b"secret" in b"".join(example["query_id"][0] for example in planted.examples("test"))
    for file in [*planted.files("transform"), planted.directory / "mutual_information.json"]:
        assert b"secret" not in file.read_bytes(), file


def test_a_training_pair_knows_no_future(
    pages: Any, pages_dataset: Any, build: Any, write_raw: Any, tmp_path: Path
) -> None:
    test_start = 1_704_067_200_000 + 60 * 3_600_000
    files = dict(pages.files)
    for name in [name for name in files if name.startswith("log/") and "-05/" not in name]:
        files[name] = json_lines([row for row in lines_of(files[name]) if row["at"] < test_start])
    later = {"query_id": 99, "item_id": 24, "event": "link", "at": test_start + 43_200_000}
    files["log/2024-01-04/part.jsonl.gz"] = json_lines([later])
    past = build(tmp_path / "past", pages.spec, *pages.flags, "--shards", "1", raw=write_raw(tmp_path / "raw", files))
    assert past.code == 0, past.error
    assert learned(past.content) == learned(pages_dataset.content)
    assert past.content["test"] != pages_dataset.content["test"]


def test_a_finished_output_is_refused_or_skipped(pages: Any, pages_dataset: Any, build: Any, tmp_path: Path) -> None:
    raw, output = pages_dataset.directory.parent / "raw", tmp_path / "dataset"
    shutil.copytree(pages_dataset.directory, output)
    before = pages_dataset.manifest
    refused = build(output, pages.spec, *pages.flags, "--shards", "2", raw=raw)
    assert (refused.code, refused.error) == (1, f"error: {output}: is finished already; --overwrite makes it again")
    assert refused.manifest == before
    other = build(output, pages.spec, *pages.flags, "--shards", "2", "--skip-done", "--set", "split.seed=5", raw=raw)
    another = "made from another spec (split.seed is 4 there, 5 here); --overwrite makes it again"
    assert other.error == f"error: {output}: is finished already, {another}"
    kept = build(output, pages.spec, *pages.flags, "--shards", "2", "--skip-done", "--overwrite=true", raw=raw)
    assert (kept.code, kept.error) == (0, f"build-dataset: done before, in {output}")
    assert kept.manifest == before
    edited = pages.spec | {"train": {"epochs": 3}, "gate": {"keep": 2}}
    kept = build(output, edited, *pages.flags, "--shards", "2", "--skip-done", "--overwrite=true", raw=raw)
    assert (kept.code, kept.manifest) == (0, before)
    assert kept.stderr.splitlines()[-2:] == [
        f"build-dataset: done before, in {output}",
        f"warning: later stages take their settings from {output}, not from {output}.yaml, unless --set says "
        "otherwise: train.epochs is 12 there, 3 here; gate.keep is 5 there, 2 here",
    ]


def test_a_published_model_s_dataset_stays(pages: Any, pages_dataset: Any, build: Any, tmp_path: Path) -> None:
    output, model, base = tmp_path / "dataset", tmp_path / "model", tmp_path / "published"
    shutil.copytree(pages_dataset.directory, output)
    dataset = Manifest.open(str(output), "dataset")
    of_dataset = Manifest(stage="model", run_id="1", inputs={"dataset": dataset.content_digest})
    of_dataset.write(str(model))
    publish_export(base, "one", model=model)
    flags = (*pages.flags, "--shards", "2", "--overwrite", "--published", str(base), "--set", "split.seed=5")
    raw = pages_dataset.directory.parent / "raw"
    kept = build(output, pages.spec, *flags, "--skip-done", raw=raw)
    was = "it was made from another spec (split.seed is 4 there, 5 here)"
    why = f"{base}/1's model was trained on it"
    later = "what has changed counts from the next dataset on"
    stays = f"{was}, but {why}, so it stays: {later}"
    assert (kept.code, kept.error) == (0, f"build-dataset: done before, in {output}; {stays}")
    refused = build(output, pages.spec, *flags, raw=raw)
    must = f"{why}, so it must stay; {was}; {later}, or give another --output"
    assert (refused.code, refused.error) == (1, f"error: {output}: {must}")
    assert refused.manifest == pages_dataset.manifest
    next(output.glob("train/*")).unlink()
    damaged = build(output, pages.spec, *flags, "--skip-done", raw=raw)
    assert damaged.code == 1
    assert damaged.error.endswith(": named by the manifest but missing; make the dataset again")

    of_dataset.model_copy(update={"content": {"weights": "of another training there"}}).write(str(model))
    assert trained_on(str(base), dataset) is None
    rewrite(base / "1", inputs=Manifest.read(str(base / "1"), "export").inputs | {"dataset": dataset.content_digest})
    assert trained_on(str(base), dataset).number == 1
