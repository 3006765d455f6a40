"""Yesterday's model on today's dataset: its own vocabularies encode today's entities."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import yaml

from features.dataset import Dataset
from model import evaluate, train
from model.two_tower import TwoTower, load_model
from pipelines import build_dataset

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

    def ragged(rows: list[list[Any]], dtype: tf.DType) -> tf.RaggedTensor:
        return tf.ragged.constant(rows, dtype, ragged_rank=1, row_splits_dtype=tf.int64)

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
    found = []
    for record in tf.data.TFRecordDataset(files, "GZIP"):
        features = tf.train.Example.FromString(record.numpy()).features.feature
        found.append((features["query_id"].bytes_list.value[0], features["item_id"].bytes_list.value[0]))
    return found


def test_yesterday_s_model_meets_today_s_test_split(tmp_path: Path) -> None:
    spec = tmp_path / "days.yaml"
    spec.write_text(yaml.safe_dump(SPEC))
    yesterday = write_day(tmp_path / "yesterday", items=range(40), seed=1)
    today = write_day(tmp_path / "today", items=range(5, 50), seed=2)
    model = tmp_path / "model"
    train.main(["--dataset", build(tmp_path / "yesterday", spec).directory, "--output", str(model)])
    dataset = build(tmp_path / "today", spec)

    evaluate.main(["--model", str(model), "--dataset", dataset.directory, "--output", str(tmp_path / "out")])
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())["overall"]

    two_tower = load_model(str(model))
    embeddings = encode_by_hand(two_tower, model, yesterday, today)
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
