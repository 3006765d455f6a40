"""The sample that ships, run and exported, and what tests of the export ask of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import tensorflow as tf
from example_files import read_examples
from in_process import run
from places import SAMPLE
from ragged_lists import ragged

from model import export, train
from model.network.two_tower import TwoTower, load_model
from model.serving.retriever import Retriever
from pipelines import build_dataset

Json = dict[str, Any]
TEXTS = ("section", "maintainer", "homepage_host", "name_words", "description_words")


@dataclass(frozen=True)
class Sample:
    """A run of the sample, and its export."""

    directory: Path

    @property
    def inputs(self) -> list[str | Path]:
        return ["--model", self.directory / "model", "--dataset", self.directory / "dataset"]

    @property
    def exported(self) -> Path:
        return self.directory / "export" / "1"

    @property
    def served(self) -> Any:
        """The graph, as TensorFlow loads it."""
        return self.retriever._graph

    @cached_property
    def retriever(self) -> Retriever:
        return Retriever.open(str(self.exported))

    @cached_property
    def two_tower(self) -> TwoTower:
        return load_model(str(self.directory / "model"))

    def examples(self, folder: str) -> list[Json]:
        """Records of a folder, as the build encoded them."""
        return read_examples(sorted((self.directory / "dataset" / folder).glob("*.tfrecord.gz")))

    @cached_property
    def raw_queries(self) -> dict[str, Json]:
        """Id -> row of the queries' table."""
        paths = sorted((self.directory / "dataset" / "entities").glob("queries-*.parquet"))
        return {row["id"]: row for path in paths for row in pq.ParquetFile(path).read().to_pylist()}


def export_sample(directory: Path) -> None:
    """Builds, trains and exports the sample, with a table of hashed rows; `stdout` is what the export printed."""
    small = [
        "--set",
        "model={embedding_dim: 16, hidden: [32, 16], hashed_tables: {package: {rows: 900}}}",
        "--set",
        "train.epochs=1",
    ]
    stages: list[tuple[Any, list[str | Path]]] = [
        (build_dataset.main, ["--spec", "debian", "--raw", SAMPLE, "--output", directory / "dataset"]),
        (train.main, ["--dataset", directory / "dataset", "--output", directory / "model", *small]),
        (export.main, [*Sample(directory).inputs, "--output", Sample(directory).exported, "--json"]),
    ]
    for main, arguments in stages:
        code, out, err = run(main, *arguments)
        assert code == 0, err
    (directory / "stdout").write_text(out)


def encoded(examples: list[Json], side: str) -> Mapping[str, tf.RaggedTensor]:
    keys = [f"{side}/{name}" for name in ("package", "debtags", *TEXTS, "installed_size")]
    types = {f"{side}/installed_size": tf.float32}
    return {key: ragged([example.get(key, []) for example in examples], types.get(key, tf.int64)) for key in keys}


def request_of(rows: list[Json], exclude: list[list[str]]) -> dict[str, list[Any]]:
    """What a client sends for these rows of the queries' table: lists padded with "", no number is NaN."""

    def padded(lists: list[list[str]]) -> list[list[str]]:
        width = max(1, *map(len, lists))
        return [[*texts, *[""] * (width - len(texts))] for texts in lists]

    columns: dict[str, list[Any]] = {"query_package": [row["id"] for row in rows]}
    columns |= {f"query_{name}": [row[f"feature/{name}"] or "" for row in rows] for name in TEXTS}
    columns["query_debtags"] = padded([row["feature/debtags"] or [] for row in rows])
    sizes = [row["feature/installed_size"] for row in rows]
    columns["query_installed_size"] = [float("nan") if size is None else size for size in sizes]
    return columns | {"exclude": padded(exclude)}


def as_tensors(request: Json) -> dict[str, tf.Tensor]:
    """A request as the inputs of a signature."""
    return {name: tf.constant(v, tf.float32 if name.endswith("size") else tf.string) for name, v in request.items()}
