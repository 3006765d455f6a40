"""Yesterday's model and today's dataset: it ranks today's entities, and today's training starts from it."""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import yaml
from example_files import read_examples
from manifests import rewrite
from published_exports import publish_export
from ragged_lists import ragged
from training_specs import Rig, training_spec

from features.dataset import Dataset
from model import evaluate, export, train
from model.network.finished_model import FinishedModel
from model.network.npz import unpack
from model.network.two_tower import TwoTower, load_model
from model.serving.query_sample import sample_queries
from model.serving.retriever import Retriever
from model.training.warm_start import carry_over, open_warm_start
from pipelines import build_dataset
from stage.errors import StageError, UsageError
from stage.manifest import Manifest, digest

SPEC: dict[str, Any] = {
    "name": "days",
    "sources": {
        "interactions": {"path": "interactions.jsonl", "positive_events": ["link"]},
        "items": {"path": "items.jsonl"},
        "queries": "items",
    },
    "query": {"features": {"page": {"kind": "id", "vocabulary": "page"}}},
    "item": {
        "features": {
            "page": {"kind": "id", "vocabulary": "page"},
            "tags": {"kind": "multivalued"},
            "size": {"kind": "numeric"},
        }
    },
    "split": {"validation": 0.1, "test": 0.3},
    "model": {"embedding_dim": 8, "hidden": [16, 8]},
    "ssl": {"alpha": 0.0},
    "train": {"epochs": 2, "batch_size": 64},
}
Item = dict[str, Any]


def write_day(directory: Path, *, items: range, seed: int) -> list[Item]:
    """Raw logs of a day: items that link to others of their tag; sizes all different."""
    draws = np.random.default_rng(seed)
    directory.mkdir()
    table = [{"item_id": f"p{i}", "tags": [f"t{i % 5}", f"u{i * seed % 7}"], "size": i + 0.5} for i in items]
    pairs = {(int(q), int(i)) for q, i in draws.choice(items, (900, 2)) if q != i and (q % 5 == i % 5 or i < 20)}
    lines = [{"query_id": f"p{q}", "item_id": f"p{i}", "event": "link"} for q, i in sorted(pairs)]
    for name, rows in (("items", table), ("interactions", lines)):
        (directory / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return table


def build(directory: Path, spec: Path) -> Dataset:
    output = directory / "dataset"
    build_dataset.main(["--spec", str(spec), "--raw", str(directory), "--output", str(output)])
    return Dataset.open(str(output))


def encode_by_hand(two_tower: TwoTower, model: Path, yesterday: list[Item], today: list[Item]) -> Mapping[str, Any]:
    """Id -> embedding of each of today's entities, out of yesterday's vocabulary files."""
    assets = model / "transform" / "transform_fn" / "assets"
    codes = {
        name: {term: code for code, term in enumerate((assets / name).read_text().splitlines())}
        for name in ("page", "item_tags")
    }
    sizes = [item["size"] for item in yesterday]

    page = ragged([[codes["page"][i["item_id"]]] if i["item_id"] in codes["page"] else [] for i in today], tf.int64)
    tags = [[codes["item_tags"][t] for t in item["tags"] if t in codes["item_tags"]] for item in today]
    size = [[(item["size"] - np.mean(sizes)) / np.std(sizes)] for item in today]
    features = {"item/page": page, "item/tags": ragged(tags, tf.int64), "item/size": ragged(size, tf.float32)}
    ids = [item["item_id"].encode() for item in today]
    return {
        "query": dict(zip(ids, two_tower.encode_queries({"query/page": page}).numpy(), strict=True)),
        "item": dict(zip(ids, two_tower.encode_items(features).numpy(), strict=True)),
    }


def pairs_of(dataset: Dataset, *splits: str) -> list[tuple[bytes, bytes]]:
    files = [file for split in splits for file in dataset.example_files(split)]  # type: ignore[arg-type]
    return [(example["query_id"][0], example["item_id"][0]) for example in read_examples(files)]


@dataclass(frozen=True)
class Days:
    """What two nights left."""

    yesterday: list[Item]
    today: list[Item]
    model: Path
    dataset: Dataset


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Days:
    """Yesterday's model and today's dataset; some items went and some came."""
    directory = tmp_path_factory.mktemp("days")
    spec = directory / "days.yaml"
    spec.write_text(yaml.safe_dump(SPEC))
    yesterday = write_day(directory / "yesterday", items=range(40), seed=1)
    today = write_day(directory / "today", items=range(5, 50), seed=2)
    model = directory / "model"
    train.main(["--dataset", build(directory / "yesterday", spec).directory, "--output", str(model)])
    return Days(yesterday, today, model, build(directory / "today", spec))


def test_yesterday_s_model_meets_today_s_test_split(days: Days, tmp_path: Path) -> None:
    model, dataset = days.model, days.dataset
    evaluate.main(["--model", str(model), "--dataset", dataset.directory, "--output", str(tmp_path / "out")])
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())["overall"]

    two_tower = load_model(str(model))
    embeddings = encode_by_hand(two_tower, model, days.yesterday, days.today)
    known = set(pairs_of(dataset, "train", "validation"))
    ranks: dict[bytes, list[int]] = {}
    for query, item in pairs_of(dataset, "test"):
        scores = {
            other: float(embeddings["query"][query] @ embedding)
            for other, embedding in embeddings["item"].items()
            if other != query and (query, other) not in known
        }
        ranks.setdefault(query, []).append(sum(score >= scores[item] for score in scores.values()))
    pairs = sum(map(len, ranks.values()))
    assert found["pairs"] == pairs > 50
    assert found["recall@10"] == pytest.approx(sum(rank <= 10 for of in ranks.values() for rank in of) / pairs)
    assert found["mrr"] == pytest.approx(math.fsum(1 / min(of) for of in ranks.values()) / len(ranks))
    # Today's own codes would have said something else.
    assert dataset.manifest.vocabularies["page"] != two_tower.embeddings.tables["page"].shape[0]


def test_an_index_of_today_s_items_is_measured_as_yesterday_s_model_reads_queries(days: Days) -> None:
    two_tower, model = load_model(str(days.model)), FinishedModel.open(str(days.model))
    found = sample_queries(two_tower, model, dataset=days.dataset, settings=model.spec.evaluate, most=20)
    embeddings = encode_by_hand(two_tower, days.model, days.yesterday, days.today)["query"]
    wanted = [embeddings[query] for query, _ in pairs_of(days.dataset, "test")[:20]]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_yesterday_s_model_serves_those_of_today_s_items_that_are_on_offer(
    days: Days, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [item["item_id"] for item in days.today]
    offered = ids[::2]
    pq.write_table(pa.table({"item_id": [*offered, "p0"]}), tmp_path / "offers.parquet")
    monkeypatch.setattr(export, "available", lambda: 2 * 4 * 8 * 23)  # what 23 embeddings need, not 45
    output, by_index = tmp_path / "export", ["--set", "export.max_exact_items=22"]
    model, dataset = shutil.copytree(days.model, tmp_path / "model"), tmp_path / "dataset"
    shutil.copytree(days.dataset.directory, dataset)
    rewrite(model, job_options={"data_end": "2009-07-30"})
    rewrite(dataset, job_options={"data_end": "2009-07-31"})
    flags = ["--model", str(model), "--dataset", str(dataset), "--output", str(output)]
    export.main([*flags, *by_index, "--candidates", str(tmp_path / "*.parquet")])
    made = Manifest.read(str(output), "export")
    assert made.job_options == {"data_end": "2009-07-30", "items_end": "2009-07-31", "model": str(model)}
    counts = {"items": 23, "projected": 23, "candidates": 24, "candidates/unknown": 1, "dataset_items": 45}
    assert made.counts == counts
    assert made.inputs["candidates"] == digest(sorted([*offered, "p0"]))
    assert pq.read_table(output / "items.parquet")["id"].to_pylist() == sorted(offered)

    embeddings = encode_by_hand(load_model(str(days.model)), days.model, days.yesterday, days.today)
    retriever = Retriever.open(str(output))
    assert [retriever.has_item(one) for one in ("p5", "p6", "p0")] == [True, True, False]
    # Who asks, or is asked with, need not be on offer.
    for side, found in (
        ("query", retriever.recommend_all(ids, exclude=[["p9", "p6"]] * 45, top_k=100)),
        ("item", [retriever.similar(one, exclude=["p9", "p6"], top_k=100) for one in ids]),
    ):
        for asked, listed in zip(ids, found, strict=True):
            assert {r.item_id for r in listed} == set(offered) - {asked, "p9"}
            of = embeddings[side][asked.encode()]
            wanted = [float(of @ embeddings["item"][r.item_id.encode()]) for r in listed]
            np.testing.assert_allclose([r.score for r in listed], wanted, atol=1e-5)
    by_hand = [embeddings["item"][one.encode()] for one in ids]
    np.testing.assert_allclose(retriever.embed_items(ids), by_hand, atol=1e-6)
    for most, unknown, said in ((45, "P6", "; did you mean 'p6'?"), (44, "P6", ""), (44, "P5", "; did you mean 'p5'?")):
        monkeypatch.setattr("model.serving.near_ids.NAMES_COMPARED", most)
        with pytest.raises(UsageError) as refused:
            retriever.similar(unknown)
        assert str(refused.value) == f"item '{unknown}': not one of the 45 of this export{said}"


def vocabulary(directory: Path | str, name: str) -> list[str]:
    return Path(directory, "transform", "transform_fn", "assets", name).read_text().splitlines()


@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
def test_a_warm_start_carries_rows_over_by_their_terms(days: Days, tmp_path: Path, optimizer: str) -> None:
    model = days.model
    if optimizer != "adam":
        model = tmp_path / "model"
        yesterday = days.model.parent / "yesterday" / "dataset"
        train.main(["--dataset", str(yesterday), "--output", str(model), "--set", f"train.optimizer={optimizer}"])
    rig = Rig(days.dataset, f"train.optimizer={optimizer}", "train.learning_rate=0.5", "train.temperature=0.3")
    training = rig.training
    fresh = {name: variable.numpy() for name, variable in training.state().items()}
    carry_over(open_warm_start(str(model), rig.spec, dataset=days.dataset), training, dataset=days.dataset)

    best = json.loads((model / "manifest.json").read_text())["counts"]["best_step"]
    before = unpack(f"{model}/checkpoints/step-{best:09d}.npz")
    slots = {"adam": {"m": 0.0, "v": 0.0}, "adagrad": {"accumulator": np.float32(0.1)}}[optimizer]
    by_term = set()
    for name in ("page", "item_tags"):
        old, new = (vocabulary(directory, name) for directory in (model, days.dataset.directory))
        came = [term for term in new if term not in old]
        assert name != "page" or {"p45", "p49"} <= set(came)
        default = before["default/item/page" if name == "page" else "default/item/tags"]
        starts = {f"table/{name}": default}
        starts |= {f"row_optimizer/{name}/{slot}": value for slot, value in slots.items()}
        for key, start in starts.items():
            rows = training.state()[key].numpy()
            assert len(rows) == len(new)
            by_term.add(key)
            for term, row in zip(new, rows, strict=True):
                np.testing.assert_array_equal(row, before[key][old.index(term)] if term in old else start + row * 0)
    # All else is as it was, but what the new training sets itself.
    for key, variable in training.state().items():
        expected = fresh if key in ("step", "totals", "dense_optimizer/1") or "temperature" in key else before
        if key not in by_term:
            np.testing.assert_array_equal(variable.numpy(), expected[key], err_msg=key)
    assert int(before["dense_optimizer/0"]) == best
    assert float(training.state()["dense_optimizer/1"]) == 0.5


def test_a_warm_start_carries_a_hashed_table_over_whole(days: Days, tmp_path: Path) -> None:
    hashed = "model.hashed_tables={page: {rows: 11}}"
    model, yesterday = tmp_path / "model", str(days.model.parent / "yesterday" / "dataset")
    train.main(["--dataset", yesterday, "--output", str(model), "--set", hashed, "--set", "train.epochs=1"])
    rig = Rig(days.dataset, hashed)
    carry_over(open_warm_start(str(model), rig.spec, dataset=days.dataset), rig.training, dataset=days.dataset)
    before = unpack(str(max((model / "checkpoints").glob("*.npz"))))
    for key in ("table/page", "row_optimizer/page/m", "row_optimizer/page/v"):
        assert before[key].shape == (11, 8)
        np.testing.assert_array_equal(rig.training.state()[key].numpy(), before[key])
    # A page of both days has the same rows, though another code.
    old, new = (vocabulary(directory, "page") for directory in (model, days.dataset.directory))
    then, now = (tower.embeddings.hashed["page"].numpy() for tower in (load_model(str(model)), rig.two_tower))
    both = [term for term in old if term in new]
    assert [old.index(term) for term in both] != [new.index(term) for term in both]
    for term in both:
        np.testing.assert_array_equal(then[old.index(term)], now[new.index(term)])
    other = training_spec(days.dataset, "model.hashed_tables={page: {rows: 12}}")
    with pytest.raises(StageError, match=r"model\.hashed_tables was .*'rows': 11.*, is .*'rows': 12"):
        open_warm_start(str(model), other, dataset=days.dataset)


def test_today_is_trained_from_yesterday(
    days: Days, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base, spec = tmp_path / "published", days.dataset.spec.model_dump(mode="json")
    publish_export(base, "yesterday", model=days.model, spec=spec)
    arguments = ["--dataset", days.dataset.directory, "--set", "train.epochs=1"]
    train.main([*arguments, "--published", str(base), "--output", str(tmp_path / "warm")])
    arguments += ["--warm-start", str(days.model)]
    # 35 of 45 pages were there yesterday, and all 12 tags.
    said = f"starts from {days.model}, with 47 of 57 embedding rows carried over"
    # Of 45 items each is among the first 50.
    found = "starts from recall@50 1.000 on validation"
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("starts from")] == [said, found]
    manifest = Manifest.read(str(tmp_path / "warm"), "model")
    before = Manifest.read(str(days.model), "model")
    assert manifest.inputs == {
        "dataset": days.dataset.manifest.content_digest,
        "warm_start": before.content_digest,
    }
    train.main(["--dataset", days.dataset.directory, "--set", "train.epochs=1", "--output", str(tmp_path / "cold")])
    (start, warm), (cold,) = (json.loads((tmp_path / name / "history.json").read_text()) for name in ("warm", "cold"))
    assert (start["step"], warm["step"]) == (0, cold["step"])
    assert warm["loss"] < cold["loss"] - 0.1

    # Unfinished, it is resumed as it began or not at all.
    unfinished = tmp_path / "unfinished"
    shutil.copytree(tmp_path / "warm", unfinished)
    (unfinished / "manifest.json").unlink()
    (unfinished / ".unfinished").touch()
    with pytest.raises(StageError, match=r"an unfinished training, made from another input \(warm_start\); --ov"):
        train.main(["--dataset", days.dataset.directory, "--set", "train.epochs=1", "--output", str(unfinished)])
    # Its checkpoint has all that the other model gave.
    monkeypatch.setattr("model.train.carry_over", lambda *_, **__: pytest.fail("the model was read again"))
    capsys.readouterr()
    train.main([*arguments, "--output", str(unfinished)])
    assert "starts from" not in capsys.readouterr().err
    assert Manifest.read(str(unfinished), "model").content == manifest.content


def test_a_warm_start_that_is_refused_costs_no_finished_model(days: Days, tmp_path: Path) -> None:
    start, finished = tmp_path / "start", tmp_path / "finished"
    for copy in (start, finished):
        shutil.copytree(days.model, copy)
    checkpoint = next((start / "checkpoints").glob("step-*.npz"))
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    arguments = ["--dataset", days.dataset.directory, "--output", str(finished), "--overwrite", "--warm-start"]
    with pytest.raises(StageError, match="not a whole"):
        train.main([*arguments, str(start)])
    with pytest.raises(StageError, match=r"but model\.embedding_dim was 8, is 4; set them"):
        train.main([*arguments, str(start), "--set", "model.embedding_dim=4"])
    with pytest.raises(UsageError, match="--warm-start: expected a place outside of --output"):
        train.main([*arguments, str(finished)])
    assert Manifest.read(str(finished), "model", verify=True).content_digest
