"""A small synthetic dataset directory, as build-dataset leaves one."""

import contextlib
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from features.dataset import Dataset
from features.mutual_information import FeatureInformation, FeaturePair, to_json
from features.spec.spec import Spec
from model.train import main
from model.training.checkpoint import Checkpoints
from stage.manifest import Manifest, describe_files

SPEC: dict[str, Any] = {
    "name": "tiny",
    "sources": {
        "interactions": {"path": "interactions.jsonl"},
        "items": {"path": "items.jsonl", "title": "title"},
        "queries": "items",
    },
    "query": {
        "features": {
            "page": {"kind": "id", "vocabulary": "page"},
            "topic": {"kind": "categorical", "vocabulary": "topic"},
        }
    },
    "item": {
        "features": {
            "page": {"kind": "id", "vocabulary": "page"},
            "topic": {"kind": "categorical", "vocabulary": "topic"},
            "words": {"kind": "text", "max_values": 4},
            "size": {"kind": "numeric"},
        }
    },
    "model": {"embedding_dim": 8, "hidden": [16, 8]},
    "ssl": {"alpha": 0.3},
    "train": {"epochs": 3, "batch_size": 64, "temperature": 0.1, "learning_rate": 0.01},
}
ITEMS, TOPICS, WORDS, COLD = 60, 6, 12, 5


def _feature(value: Any) -> tf.train.Feature:
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    if value and isinstance(value[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=value))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=value))


def _encode(values: dict[str, Any]) -> bytes:
    features = {key: _feature(value) for key, value in values.items() if value}
    return bytes(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def _write(path: Path, records: list[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for record in records:
            writer.write(record)


def write_dataset(
    directory: Path,
    *,
    spec: dict[str, Any] | None = None,
    files: int = 8,
    validation: bool = True,
    corrupt: bool = False,
    mark: str = "",
    cold_validation_pairs: int = 0,
    pairs_with_self: int = 0,
    training_pairs_with_self: int = 0,
    new_queries: int = 0,
) -> Dataset:
    """Items of a topic are linked; the last `COLD` items never in training; item 7 has no words and no size.

    Each title and raw topic ends with `mark`. So many test pairs are of a query and itself, and so many training pairs,
    which come first. So many queries, the first, have no other training pair.
    """
    draws = np.random.default_rng(7)
    tree = SPEC | (spec or {})
    names = [f"item-{i:03d}".encode() for i in range(ITEMS)]
    topics = draws.integers(0, TOPICS, ITEMS)
    words = [sorted({int(topics[i]), *draws.integers(0, WORDS, 2).tolist()}) if i != 7 else [] for i in range(ITEMS)]
    sizes = [[float(draws.normal())] if i != 7 else [] for i in range(ITEMS)]

    popularity = 1 / np.arange(1, ITEMS + 1)
    popularity[-COLD:] = 0
    pairs: set[tuple[int, int]] = set()
    while len(pairs) < 600:
        query = int(draws.integers(0, ITEMS))
        weight = popularity * np.where(topics == topics[query], 20, 1)
        item = int(draws.choice(ITEMS, p=weight / weight.sum()))
        if item != query:
            pairs.add((query, item))
    ordered = sorted(pairs)
    draws.shuffle(ordered)
    splits = {"train": ordered[:500], "validation": ordered[500:550], "test": ordered[550:]}
    splits["test"].append((0, ITEMS - 1))  # a cold item
    splits["validation"] += [(query, ITEMS - 1 - query % COLD) for query in range(1, cold_validation_pairs + 1)]
    splits["test"] += [(query, query) for query in range(pairs_with_self)]
    if not validation:
        splits["validation"] = []
    splits["train"] = [(query, item) for query, item in splits["train"] if query >= new_queries]
    splits["train"][:0] = [(query, query) for query in range(training_pairs_with_self)]
    counts = np.bincount([item for _, item in splits["train"]], minlength=ITEMS)

    queries = [
        _encode({"query_id": names[i], "query/page": [i], "query/topic": [int(topics[i])]}) for i in range(ITEMS)
    ]
    items = [
        _encode(
            {
                "item_id": names[i],
                "item/page": [i],
                "item/topic": [int(topics[i])],
                "item/words": words[i],
                "item/size": sizes[i],
                "item/train_count": [int(counts[i])],
            }
        )
        for i in range(ITEMS)
    ]
    records: dict[str, list[bytes]] = {}
    for split, found in splits.items():
        shards = files if split == "train" else 1
        for shard in range(shards):
            name = f"{split}/{split}-{shard:05d}-of-{shards:05d}.tfrecord.gz"
            records[name] = [queries[q] + items[i] for q, i in found[shard::shards]]
    for shard in range(2):
        records[f"items/items-{shard:05d}.tfrecord.gz"] = items[shard::2]
    for name, encoded in records.items():
        _write(directory / name, encoded)
    if corrupt:
        path = directory / "train" / f"train-{0:05d}-of-{files:05d}.tfrecord.gz"
        content = path.read_bytes()
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes(16) + content[middle + 16 :])

    (directory / "entities").mkdir()
    base = {"id": [n.decode() for n in names], "title": [f"Title {i}{mark}" for i in range(ITEMS)]}
    base |= {"train_count": counts.tolist(), "feature/topic": [f"topic {t}{mark}" for t in topics]}
    pq.write_table(pa.table(base), directory / "entities" / "queries-00000.parquet")
    more = {
        "full_train_count": counts.tolist(),
        "feature/words": [" ".join(f"word{w}" for w in ws) or None for ws in words],
        "feature/size": [s[0] if s else None for s in sizes],
    }
    pq.write_table(pa.table(base | more), directory / "entities" / "items-00000.parquet")
    (directory / "transform").mkdir()
    (directory / "transform" / "placeholder.txt").write_text("a transform graph\n")
    assets = directory / "transform" / "transform_fn" / "assets"
    assets.mkdir(parents=True)
    for name, size in (("page", ITEMS), ("topic", TOPICS), ("item_words", WORDS)):
        (assets / name).write_text("".join(f"{name}-{code}\n" for code in range(size)))
    nats = {
        ("page", "topic"): 1.7,
        ("page", "words"): 2.0,
        ("page", "size"): 3.0,
        ("topic", "words"): 0.9,
        ("topic", "size"): 0.5,
        ("words", "size"): 0.7,
    }
    information = FeatureInformation(
        rows=ITEMS,
        entropies={"page": 4.0, "topic": 1.7, "words": 2.0, "size": 3.0},
        pairs=[FeaturePair(a, b, mi, mi / 4, mi / 10) for (a, b), mi in nats.items()],
    )
    (directory / "mutual_information.json").write_bytes(
        to_json(information, weighting="uniform", seed=0, numeric_buckets=10)
    )
    Manifest(
        stage="dataset",
        run_id="tiny",
        spec=Spec.model_validate(tree).model_dump(mode="json"),
        vocabularies={"page": ITEMS, "topic": TOPICS, "item_words": WORDS},
        transform_digest="tiny transform",
        content={"train": "1", "items": "2"},
        counts={"examples/train": len(splits["train"])},
        files=[
            file.model_copy(update={"records": len(records[file.name]) if file.name in records else None})
            for file in describe_files(str(directory))
        ],
    ).write(str(directory))
    return Dataset.open(str(directory))


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """500 training, 50 validation and 51 test pairs among 60 items; see `write_dataset`."""
    return write_dataset(tmp_path_factory.mktemp("tiny") / "dataset")


@pytest.fixture(scope="session")
def trained(tiny_dataset: Dataset, once: Any) -> str:
    """A model of `tiny_dataset`, which told TensorBoard of the steps 8, 16 and 24.

    Beside it lie what the command printed, `stdout`, and the model as its checkpoints of steps 8 and 24 left it,
    `at_step_8` and `at_step_24`.
    """
    return str(once("trained", lambda directory: _train(tiny_dataset, directory)) / "model")


def _train(dataset: Dataset, directory: Path) -> None:
    output, save = directory / "model", Checkpoints.save

    def save_and_copy(checkpoints: Checkpoints, training: Any, history: Any) -> None:
        save(checkpoints, training, history)
        if int(training.step) in (8, 24):
            shutil.copytree(output, directory / f"at_step_{int(training.step)}", dirs_exist_ok=True)

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        patch.setattr(Checkpoints, "save", save_and_copy)
        nothing = str(directory / "nothing-published")
        main(["--dataset", dataset.directory, "--output", str(output), "--published", nothing, "--json"])
    (directory / "stdout").write_text(out.getvalue())


@pytest.fixture(scope="session")
def hostile_dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """`tiny_dataset`, whose titles and topics are of somebody who means harm."""
    return write_dataset(tmp_path_factory.mktemp("hostile") / "dataset", mark="</script><img src=x onerror=alert(1)>")


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Dataset]:
    """Writes a dataset of one's own: `make_dataset(spec={...}, files=8, ...)`, as `write_dataset` takes them."""
    return lambda **options: write_dataset(tmp_path / "dataset", **options)
