from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_specs import small_spec

from model.serving.entities_to_export import write_queries

NAME = {"kind": "text", "column": "name"}
PAGES: dict[str, Any] = {
    "sources": {"items": {"path": "x", "id": "id", "title": "name"}, "queries": "items"},
    "query": {"page": "id", "words": NAME},
    "item": {"page": "id", "size": "numeric", "title": NAME},
}


def entities(ids: list[str], *, count: int, **features: list[Any]) -> pa.Table:
    counts = {name: pa.array([count] * len(ids), pa.int64()) for name in ("train_count", "full_train_count")}
    named = {f"feature/{name}": values for name, values in features.items()}
    return pa.table({"id": ids, "title": [one.upper() for one in ids], **counts, **named})


@pytest.fixture
def dataset(tmp_path: Path) -> SimpleNamespace:
    """Three shards, of which the second has no query and the last no item."""
    files = {
        "items-r-00000-of-00003.parquet": entities(["a", "b", "c"], count=7, size=[1.0, 2.0, 3.0], title=list("xyz")),
        "items-r-00001-of-00003.parquet": entities(["d"], count=7, size=[4.0], title=["w"]),
        "queries-r-00000-of-00003.parquet": entities(["b"], count=5, words=["y"]),
        "queries-r-00002-of-00003.parquet": entities(["e"], count=4, words=[None]),
    }
    (tmp_path / "entities").mkdir()
    for name, table in files.items():
        pq.write_table(table, tmp_path / "entities" / name)
    manifest = SimpleNamespace(files=[SimpleNamespace(name=f"entities/{name}") for name in files])
    return SimpleNamespace(directory=str(tmp_path), manifest=manifest, spec=small_spec(**PAGES))


def written(output: Path) -> dict[str, list[dict[str, Any]]]:
    return {path.name: pq.read_table(path).to_pylist() for path in sorted((output / "entities").iterdir())}


def row(one: str, *, words: str | None, count: int = 0) -> dict[str, Any]:
    return {
        "id": one,
        "title": one.upper(),
        "train_count": count,
        "full_train_count": count,
        "feature/words": words,
    }


def test_items_are_queries_whatever_their_features_are_called(dataset: Any, tmp_path: Path) -> None:
    write_queries(dataset, str(tmp_path / "out"))
    assert written(tmp_path / "out") == {
        "queries-r-00000-of-00003.parquet": [
            row("b", words="y", count=5),
            row("a", words="x"),
            row("c", words="z"),
        ],
        "queries-r-00001-of-00003.parquet": [row("d", words="w")],
        "queries-r-00002-of-00003.parquet": [row("e", words=None, count=4)],
    }


@pytest.mark.parametrize(
    "change",
    [
        {"query": {"words": {"kind": "text", "column": "abstract"}}},
        {"sources": {**PAGES["sources"], "queries": {"path": "queries.jsonl", "id": "id"}}},
    ],
)
def test_queries_that_items_cannot_stand_for_are_those_of_the_pairs(
    dataset: Any, tmp_path: Path, change: dict[str, Any]
) -> None:
    dataset.spec = small_spec(**PAGES | change)
    write_queries(dataset, str(tmp_path / "out"))
    assert written(tmp_path / "out") == {
        "queries-r-00000-of-00003.parquet": [row("b", words="y", count=5)],
        "queries-r-00002-of-00003.parquet": [row("e", words=None, count=4)],
    }
