"""Numbers of a dataset against who should know: the saved graph, and scikit-learn."""

import math
from collections import defaultdict
from fractions import Fraction
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from sklearn.metrics import mutual_info_score

Json = dict[str, Any]


def test_the_graph_encodes_as_the_job_did(shop: Any, shop_dataset: Any) -> None:
    """Every item and query through the saved graph, as serving would, one row at a time."""
    output = tft.TFTransformOutput(str(shop_dataset.directory / "transform"))
    layer, raw_spec = output.transform_features_layer(), output.raw_feature_spec()

    def transform(given: Json) -> Json:
        inputs = {}
        for key, feature in raw_spec.items():
            values = tf.constant(given.get(key, []), feature.dtype)
            rows = tf.range(tf.size(values, tf.int64))
            inputs[key] = tf.SparseTensor(tf.stack([tf.zeros_like(rows), rows], 1), values, [1, 9])
        return {key: value.values.numpy().tolist() for key, value in layer(inputs).items() if tf.size(value.values)}

    halves = {example["item_id"][0].decode(): example for example in shop_dataset.examples("items")}
    columns = {"tags": "tags", "words": "words", "price": "price"}
    for id_, row in shop_dataset.entities("items").items():
        given: Json = {"item/app": [id_]}
        for name in columns:
            value = row[f"feature/{name}"]
            given[f"item/{name}"] = value if isinstance(value, list) else [] if value is None else [value]
        half = {key: value for key, value in halves[id_].items() if key not in ("item_id", "item/train_count")}
        assert transform(given) == half
    examples = {e["query_id"][0].decode(): e for name in ("train", "test") for e in shop_dataset.examples(name)}
    for id_, row in list(shop_dataset.entities("queries").items())[:20]:
        if id_ in examples:
            found = transform({"query/user": [id_], "query/interests": row["feature/interests"] or []})
            assert found == {key: value for key, value in examples[id_].items() if key.startswith("query/")}


def shares(value: Any) -> dict[Any, Fraction]:
    """The values of a feature, each with its share of the row; missing is a value."""
    values = value if isinstance(value, list) and value else [None if value in ([], None) else value]
    return {part: Fraction(values.count(part), len(values)) for part in values}


def check_mutual_information(found: Json, columns: dict[str, list[Any]], weights: list[int]) -> None:
    assert found["features"] == list(columns)
    assert found["rows"] == sum(weights)
    for (i, first), (j, second) in combinations(enumerate(columns), 2):
        joint: dict[tuple[Any, Any], Fraction] = defaultdict(Fraction)
        for a, b, weight in zip(columns[first], columns[second], weights, strict=True):
            for x, share_x in shares(a).items():
                for y, share_y in shares(b).items():
                    joint[x, y] += weight * share_x * share_y
        rows, others = (list(dict.fromkeys(pair[end] for pair in joint)) for end in (0, 1))
        whole = math.lcm(*(count.denominator for count in joint.values()))  # scikit-learn takes integers alone
        table = np.zeros((len(rows), len(others)), np.int64)
        for (x, y), count in joint.items():
            table[rows.index(x), others.index(y)] = count * whole
        expected = mutual_info_score(None, None, contingency=table)
        assert expected > 0.01
        assert found["mutual_information"][i][j] == pytest.approx(expected, abs=1e-9), (first, second)
        assert found["mutual_information"][j][i] == found["mutual_information"][i][j]
        sums = [table.sum(axis=axis) / table.sum() for axis in (0, 1)]
        smaller = min(-(p[p > 0] * np.log(p[p > 0])).sum() for p in sums)
        assert found["normalized"][i][j] == pytest.approx(expected / smaller, abs=1e-9)


def test_mutual_information_of_the_shop(shop: Any, shop_dataset: Any) -> None:
    rows = shop_dataset.entities("items")
    prices = np.array([row["feature/price"] for row in rows.values() if row["feature/price"] is not None])
    ranked = np.sort(prices)
    bounds = {ranked[k * len(ranked) // 10] for k in range(1, 10)} - {ranked[0]}
    columns = {
        "app": list(rows),
        "tags": [row["feature/tags"] for row in rows.values()],
        "words": [grams(row["feature/words"]) for row in rows.values()],
        "price": [
            p if p is None else int(sum(b <= p for b in bounds)) for p in (r["feature/price"] for r in rows.values())
        ],
    }
    check_mutual_information(shop_dataset.mutual_information(), columns, [1] * len(rows))


def grams(title: str | None) -> list[str]:
    words = (title or "").lower().replace("-", " ").split()
    return words + [f"{a} {b}" for a, b in pairwise(words)]


def test_mutual_information_weighted_by_train_count(pages_dataset: Any) -> None:
    rows = pages_dataset.entities("items")
    columns = {
        "page": list(rows),
        "tags": [row["feature/tags"] for row in rows.values()],
        "kind": [row["feature/kind"] for row in rows.values()],
    }
    weights = [row["train_count"] for row in rows.values()]
    assert sum(weights) == pages_dataset.manifest["counts"]["examples/train"]
    check_mutual_information(pages_dataset.mutual_information(), columns, weights)
