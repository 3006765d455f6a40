"""Vectors from raw tables to recommendations: asked with as the build read them, in every form of request."""

import json
import random
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from example_files import read_examples
from in_process import run
from ragged_lists import ragged

from features.transform_graph import whole_vectors
from model import evaluate, export, recommend, recommend_all, report, train
from model.network.two_tower import load_model
from model.serving.retriever import Retriever
from stage.errors import UsageError

SPEC = {
    "name": "looks",
    "sources": {
        "interactions": {"path": "log.parquet", "event": None},
        "items": {"path": "items.parquet"},
        "queries": {"path": "queries.parquet", "id": "query_id"},
    },
    "query": {"features": {"user": {"kind": "id"}, "taste": {"kind": "vector", "size": 2}}},
    "item": {
        "features": {
            "app": {"kind": "id"},
            "image": {"kind": "vector", "size": 3},
            "colour": {"kind": "categorical"},
        }
    },
    "model": {"embedding_dim": 8, "hidden": [8]},
    "ssl": {"augmentation": "cfm"},
    "train": {"epochs": 1, "batch_size": 32},
    "export": {"top_k": 3},
}
NONE = [float("nan")] * 2


def write_raw(directory: Path) -> Path:
    draw = random.Random(3)

    def vector(number: int, size: int) -> list[float] | None:
        return None if number % 5 == 0 else [draw.gauss(0, 1) for _ in range(size)]

    directory.mkdir()
    users, apps = [f"u{n}" for n in range(20)], [f"a{n}" for n in range(15)]
    lists = pa.list_(pa.float32())
    images = pa.array([vector(n, 3) for n in range(15)], lists)
    items = {"item_id": apps, "image": images, "colour": [draw.choice(["red", "blue"]) for _ in apps]}
    pq.write_table(pa.table(items), directory / "items.parquet")
    tastes = pa.array([vector(n, 2) for n in range(20)], lists)
    pq.write_table(pa.table({"query_id": users, "taste": tastes}), directory / "queries.parquet")
    pairs = [(user, app) for user in users for app in draw.sample(apps, 8)]
    log = {"query_id": [user for user, _ in pairs], "item_id": [app for _, app in pairs]}
    pq.write_table(pa.table(log), directory / "log.parquet")
    return directory


@pytest.fixture(scope="module")
def looks(once: Any, build: Any) -> Path:
    """A dataset, a model and an export."""

    def fill(directory: Path) -> None:
        assert (made := build(directory / "dataset", SPEC, raw=write_raw(directory / "raw"))).code == 0, made.error
        both = ["--model", directory / "model", "--dataset", directory / "dataset"]
        for main, arguments in (
            (train.main, ["--dataset", directory / "dataset", "--output", directory / "model"]),
            (export.main, [*both, "--output", directory / "export"]),
            (evaluate.main, [*both, "--output", directory]),
        ):
            code, _, said = run(main, *arguments)
            assert code == 0, said

    return Path(once("looks", fill))


@pytest.fixture(scope="module")
def opened(looks: Path) -> Retriever:
    return Retriever.open(str(looks / "export"))


def signature(opened: Retriever, name: str) -> Any:
    return opened._graph.signatures[name]


def test_a_query_is_embedded_as_the_trainer_sees_it(looks: Path, opened: Retriever) -> None:
    examples = {one["query_id"][0].decode(): one for one in read_examples(sorted(looks.glob("dataset/train/*.gz")))}
    assert len(examples) == 20
    assert sorted(one for one, example in examples.items() if not example.get("query/taste")) == [
        "u0", "u10", "u15", "u5"
    ]  # fmt: skip
    values = {
        key: ragged([example.get(key, []) for example in examples.values()], dtype)
        for key, dtype in (("query/user", tf.int64), ("query/taste", tf.float32))
    }
    values["query/taste"] = whole_vectors(values["query/taste"], 2)
    wanted = load_model(str(looks / "model")).encode_queries(values).numpy()
    table = pq.read_table(looks / "raw" / "queries.parquet").to_pylist()
    tastes = {row["query_id"]: row["taste"] for row in table}
    features = [{"user": one, "taste": tastes[one]} for one in examples]
    np.testing.assert_allclose(opened.embed_queries(list(examples)), wanted, atol=1e-5)
    np.testing.assert_allclose(opened.embed_queries(features), wanted, atol=1e-5)
    longer = [{"user": one, "taste": [2 * x for x in tastes[one] or ()]} for one in examples]
    np.testing.assert_allclose(opened.embed_queries(longer), wanted, atol=1e-5)  # towers see them at length 1


def test_signatures_take_rows_of_numbers_or_none(opened: Retriever) -> None:
    asked = [("u1", [0.5, -2.0]), ("", [3.0, 4.0]), ("u2", NONE)]
    inputs = {
        "query_user": tf.constant([user for user, _ in asked]),
        "query_taste": tf.constant([taste for _, taste in asked]),
        "exclude": tf.constant([["a1"], [""], [""]]),
    }
    serialized = []
    for (user, taste), exclude in zip(asked, ("a1", "", ""), strict=True):
        features = {"query/user": user, "exclude": exclude}
        example = {
            key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()]))
            for key, text in features.items()
        }
        if taste is not NONE:
            example["query/taste"] = tf.train.Feature(float_list=tf.train.FloatList(value=taste))
        serialized.append(tf.train.Example(features=tf.train.Features(feature=example)).SerializeToString())
    plain = signature(opened, "serving_default")(**inputs)
    examples = signature(opened, "serving_default_examples")(examples=tf.constant(serialized))
    by_features = opened.recommend_all(
        [{"user": "u1", "taste": [0.5, -2]}, {"taste": [3, 4]}, {"user": "u2"}], exclude=[["a1"], [], []]
    )
    for name, values in plain.items():
        np.testing.assert_array_equal(examples[name], values)
    assert [[one.item_id.encode() for one in row] for row in by_features] == plain["item_id"].numpy().tolist()
    one = {"taste": [0.5] * 512}
    with pytest.raises(UsageError, match=r"got \{'taste': \[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, \.\.\.\]\}$"):
        opened.recommend_all(one)  # type: ignore[arg-type]  # as if it were one of several
    with pytest.raises(tf.errors.InvalidArgumentError):
        signature(opened, "serving_default")(**inputs | {"query_taste": tf.zeros([3, 3])})


def test_the_commands_take_lists_of_numbers(
    looks: Path, opened: Retriever, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Retriever, "open", lambda *_, **__: opened)
    exported = ["--export", looks / "export"]
    found = [one.item_id for one in opened.recommend({"taste": np.array([0.25, 1])})]
    code, out, said = run(recommend.main, *exported, "--query", '{"taste": [0.25, 1]}')
    assert (code, [line.split()[3] for line in out.splitlines() if line[:2] == "│ "]) == (0, found), said
    long = f'{{"taste": [0.25{"0" * 512}, 1]}}'
    code, out, said = run(recommend.main, *exported, "--query", long)
    assert (code, out.count("0") < 200, "…" in out) == (0, True, True), said
    refused = "taste: expected a list of 2 numbers, got a list of 3"
    code, _, said = run(recommend.main, *exported, "--query", '{"taste": [0.25, 1, 0]}')
    assert (code, said) == (2, f"error: query: {refused}\n")

    path, output = tmp_path / "q.parquet", tmp_path / "out"
    arguments = [*exported, "--queries", path, "--output", output, "--overwrite"]
    asked = [{"user": "new", "taste": [0.25, 1]}, {"user": "u2", "taste": [3, 4]}, {"user": "u1"}]
    wanted = [one.item_id for row in opened.recommend_all(asked) for one in row]

    def of_file(tastes: pa.Array) -> list[str] | str:
        """What is recommended, or the error."""
        pq.write_table(pa.table({"query_id": ["new", "u2", "u1"][: len(tastes)], "taste": tastes}), path)
        code, _, said = run(recommend_all.main, *arguments)
        return said.splitlines()[-1] if code else pd.read_parquet(output / "items")["item_id"].tolist()

    assert of_file(pa.array([[0.25, 1], [3, 4], None], pa.list_(pa.float32()))) == wanted
    assert of_file(pa.array([[Decimal("0.25"), 1], [3, 4], []], pa.large_list(pa.decimal128(5, 2)))) == wanted
    assert of_file(pa.array([[0.25, 1], [3, 4]], pa.list_(pa.float64(), 2))) == wanted[:6]
    assert of_file(pa.array([[0.25, 1], None], pa.list_(pa.float64(), 2))) == (
        f"error: {path}: not readable as Parquet: Expected all lists to be of size=2 but index 2 had size=0; "
        "Arrow can't read missing lists of a fixed size: write lists of any size"
    )
    assert of_file(pa.array([[0.25, 1], [1, 2, 3]])) == f"error: {path}: row 2: query: {refused}"


def test_a_report_has_a_row_of_each_and_none_of_the_numbers(looks: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    code, _, said = run(report.main, "--run", looks, "--output", path)
    assert code == 0, said
    information = json.loads((looks / "dataset/mutual_information.json").read_bytes())
    entropy = information["entropies"]["image"]
    rows = re.findall(r"<tr>.*<td>vector</td>.*</tr>", path.read_text(encoding="utf-8"))
    assert [re.sub("<[^>]*>", " ", row).split() for row in rows] == [
        ["item/image", "vector", "-", "-", "80.0%", f"{entropy:.3f}"],
        ["query/taste", "vector", "-", "-", "80.0%", "-"],
    ]
