"""Recall@10 of a model, query by query: what a ranking is held to."""

from collections.abc import Collection

import numpy as np
import tensorflow as tf
from example_files import read_examples
from ragged_lists import ragged

from features.dataset import Dataset
from model.network.two_tower import TwoTower


def recall_at_10_the_plain_way(
    dataset: Dataset, two_tower: TwoTower, *, among: Collection[bytes] | None = None
) -> float:
    """Scores query by query and item by item, in float64 from float32 embeddings; of some items alone, if given."""
    items = read_examples(dataset.corpus_files())
    known: dict[object, set[object]] = {}
    for example in read_examples(dataset.example_files("train") + dataset.example_files("validation")):
        known.setdefault(example["query_id"][0], set()).add(example["item_id"][0])
    ids = [item["item_id"][0] for item in items]
    ranked = ids if among is None else among
    item_embeddings = two_tower.encode_items(features(items, "item")).numpy().astype(np.float64)
    hits, tests = 0, read_examples(dataset.example_files("test"))
    tests = [example for example in tests if example["item_id"][0] in ranked]
    query_embeddings = two_tower.encode_queries(features(tests, "query")).numpy().astype(np.float64)
    for example, embedding in zip(tests, query_embeddings, strict=True):
        query = example["query_id"][0]
        scores = {
            i: float(embedding @ e)
            for i, e in zip(ids, item_embeddings, strict=True)
            if i in ranked and i != query and i not in known.get(query, set())
        }
        own = scores[example["item_id"][0]]
        hits += sum(score >= own - 1e-12 for score in scores.values()) <= 10
    return hits / len(tests)


def features(examples: list[dict[str, list[object]]], side: str) -> dict[str, tf.RaggedTensor]:
    names = {"query": ["page", "topic"], "item": ["page", "topic", "words", "size"]}[side]
    lists = {name: [example.get(f"{side}/{name}", []) for example in examples] for name in names}
    return {f"{side}/{name}": ragged(lists[name], tf.float32 if name == "size" else tf.int64) for name in names}
