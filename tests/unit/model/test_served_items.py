"""The corpus as it is served, of stubs: what a graph makes of it is tested on whole exports."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from model.serving import served_items
from model.serving.projector import write_projector
from model.serving.served_items import ServedItems, embed_items
from stage.errors import StageError


def test_features_of_more_than_2_gib_are_embedded_and_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    # 20 items, whose texts are one of 110 MiB; the last has a short one, and is the only one seen in training.
    long, numbers = pa.array(["x" * (110 << 20)]), [*range(1, 20), 0]
    blocks = [
        pa.table(
            {
                "id": [f"{number:02d}"],
                "title": pa.array([None if number else "T"], pa.string()),
                "train_count": [0 if number else 3],
                "full_train_count": [9],
                "feature/text": long if number else pa.array(["short"]),
            }
        )
        for number in numbers
    ]
    monkeypatch.setattr(served_items, "entity_blocks", lambda *_, **__: iter(blocks))
    monkeypatch.setattr(served_items, "transform_tensors", lambda block, *_, **__: float(block["id"][0].as_py()))
    graph: Any = SimpleNamespace(embed_items=lambda number: SimpleNamespace(numpy=lambda: [[number, -number]]))
    spec: Any = SimpleNamespace(model=SimpleNamespace(hidden=[2]))
    dataset: Any = SimpleNamespace(directory="DATA")
    found = embed_items(graph, dataset, spec=spec)
    assert found.ids == [f"{number:02d}" for number in range(20)]
    assert found.titles == ["T", *[""] * 19]
    assert found.entities["train_count"].to_pylist() == [3, *[0] * 19]
    np.testing.assert_array_equal(found.embeddings, [[number, -number] for number in range(20)])
    assert write_projector(found, str(tmp_path), most=1) == 1
    assert (tmp_path / "metadata.tsv").read_text() == "id\ttitle\ttrain_count\tfeature/text\n00\tT\t3\tshort\n"


def test_what_a_diverged_model_makes_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [pa.table({"id": [one], "title": ["T"], "train_count": [1]}) for one in "ab"]
    monkeypatch.setattr(served_items, "entity_blocks", lambda *_, **__: iter(blocks))
    monkeypatch.setattr(served_items, "transform_tensors", lambda block, *_, **__: block["id"][0].as_py())
    made = {"a": [[1.0, 2.0]], "b": [[1.0, float("nan")]]}
    graph: Any = SimpleNamespace(embed_items=lambda one: SimpleNamespace(numpy=lambda: made[one]))
    spec: Any = SimpleNamespace(model=SimpleNamespace(hidden=[2]))
    with pytest.raises(StageError, match="expected finite embeddings, found 1 item embeddings with NaN or infinity"):
        embed_items(graph, SimpleNamespace(), spec=spec)  # type: ignore[arg-type]


def test_another_title_or_number_is_another_digest() -> None:
    def digests(title: str, number: float) -> dict[str, str]:
        entities = pa.table({"id": ["a", "b"], "title": ["A", title], "train_count": [1, 2]})
        return ServedItems(entities, np.array([[1, 0], [0, number]], np.float32), entities).digests()

    first, renamed, moved = digests("B", 1), digests("C", 1), digests("B", 0.5)
    assert first == digests("B", 1)
    assert first["items"] == moved["items"] != renamed["items"]
    assert first["embeddings"] == renamed["embeddings"] != moved["embeddings"]
