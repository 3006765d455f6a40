"""Exact search in the graph, by hand and against numpy."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ragged_lists import ragged

from model.serving.item_table import ItemTable

LOWEST = float(np.finfo(np.float32).min)


def rows(found: dict[str, tf.Tensor]) -> list[list[tuple[Any, ...]]]:
    columns = [found[name].numpy().tolist() for name in ("item_id", "title", "score")]
    return [list(zip(*row, strict=True)) for row in zip(*columns, strict=True)]


def test_the_best_come_first_and_what_is_excluded_not_at_all(tmp_path: Path) -> None:
    vectors = np.array([[1, 0], [0, 1], [1, 0], [-1, 0]], np.float32)
    table = ItemTable(["a", "b", "c", "d"], ["A", "", "C\nC", "D"], embeddings=vectors, scratch=str(tmp_path))
    asked = tf.constant([[2.0, 1.0], [-1.0, 0.5]])
    found = table.search(asked, ragged([["a", "unknown"], []], tf.string), top_k=tf.constant(3))
    assert rows(found) == [
        [(b"c", b"C\nC", 2.0), (b"b", b"", 1.0), (b"d", b"D", -2.0)],
        # Of the equal a and c the first by id.
        [(b"d", b"D", 1.0), (b"b", b"", 0.5), (b"a", b"A", -1.0)],
    ]
    found = table.search(asked[:1], ragged([["a", "c", "b", "a"]], tf.string), top_k=tf.constant(9))
    assert rows(found) == [[(b"d", b"D", -2.0), *[(b"", b"", LOWEST)] * 3]]


def test_an_item_is_not_among_those_like_it(tmp_path: Path) -> None:
    vectors = np.array([[1, 0], [0.5, 1], [1, 0]], np.float32)
    table = ItemTable(["a", "b", "c"], ["A", "B", "C"], embeddings=vectors, scratch=str(tmp_path))
    found = table.similar(tf.constant(["a", "b", "unknown"]), ragged([[], ["c"], []], tf.string), top_k=tf.constant(2))
    nothing = (b"", b"", LOWEST)
    assert rows(found) == [[(b"c", b"C", 1.0), (b"b", b"B", 0.5)], [(b"a", b"A", 0.5), nothing], [nothing, nothing]]


def test_looking_an_item_up_makes_no_search_copy_the_corpus(tmp_path: Path) -> None:
    table = ItemTable(["a", "b"], ["", ""], embeddings=np.eye(2, dtype=np.float32), scratch=str(tmp_path))
    graph = tf.function(lambda: table.similar(tf.constant(["a"]), ragged([[]], tf.string), top_k=tf.constant(1)))
    # Where one has read a variable's rows alone, TensorFlow copies it for whoever reads it whole.
    gathers = [op for op in graph.get_concrete_function().graph.get_operations() if op.type == "ResourceGather"]
    assert {op.get_attr("dtype") for op in gathers} == {tf.string}


def test_it_finds_what_sorting_all_scores_finds(tmp_path: Path) -> None:
    draws = np.random.default_rng(3)
    vectors, asked = draws.normal(size=(300, 8)).astype(np.float32), draws.normal(size=(20, 8)).astype(np.float32)
    ids = [f"i{number:03d}" for number in range(300)]
    exclude = [draws.choice(ids, draws.integers(0, 40), replace=False).tolist() for _ in range(20)]
    table = ItemTable(ids, ids, embeddings=vectors, scratch=str(tmp_path))
    found = table.search(tf.constant(asked), ragged(exclude, tf.string), top_k=tf.constant(10))
    scores = asked.astype(np.float64) @ vectors.T.astype(np.float64)
    for row, left_out in enumerate(exclude):
        best = [one for one in np.argsort(-scores[row]) if ids[one] not in left_out][:10]
        assert found["item_id"][row].numpy().tolist() == [ids[one].encode() for one in best]


def test_an_unknown_id_leaves_nothing_out(tmp_path: Path) -> None:
    table = ItemTable(["a", "b"], ["A", "B"], embeddings=np.eye(2, dtype=np.float32), scratch=str(tmp_path))
    found = table.search(tf.constant([[2.0, 1.0]]), ragged([["unknown"]], tf.string), top_k=tf.constant(2))
    assert rows(found) == [[(b"a", b"A", 2.0), (b"b", b"B", 1.0)]]
