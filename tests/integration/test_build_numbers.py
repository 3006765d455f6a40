"""Numbers of a dataset against who should know: the saved graph, and scikit-learn."""

import math
from collections import defaultdict
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from plain_features import grams
from sklearn.metrics import mutual_info_score

from features.vectors import vector_classes

Json = dict[str, Any]


def test_the_graph_encodes_as_the_job_did(shop: Any, shop_dataset: Any) -> None:
    """Every item, and every query of a split, through the saved graph, as serving would."""
    output = tft.TFTransformOutput(str(shop_dataset.directory / "transform"))
    layer, raw_spec = output.transform_features_layer(), output.raw_feature_spec()

    def transform(rows: list[Json]) -> list[Json]:
        inputs = {}
        for key, feature in raw_spec.items():
            lists = tf.ragged.constant([row.get(key, []) for row in rows], feature.dtype, ragged_rank=1)
            inputs[key] = lists.to_sparse()
        found = {key: tf.RaggedTensor.from_sparse(value).to_list() for key, value in layer(inputs).items()}
        return [{key: values[row] for key, values in found.items() if values[row]} for row in range(len(rows))]

    def halves(folder: str, side: str) -> dict[str, Json]:
        """Id -> what the job made of its features."""
        keys = {key for key in raw_spec if key.startswith(f"{side}/")}
        return {
            example[f"{side}_id"][0].decode(): {key: example[key] for key in example.keys() & keys}
            for example in shop_dataset.examples(folder)
        }

    def as_list(value: Any) -> list[Any]:
        return value if isinstance(value, list) else [] if value is None else [value]

    items = halves("items", "item")
    raw = shop_dataset.entities("items")
    columns = ("tags", "words", "price", "look")
    given = [{"item/app": [id_]} | {f"item/{c}": as_list(raw[id_][f"feature/{c}"]) for c in columns} for id_ in items]
    assert len(items) == len(raw) == 36
    assert transform(given) == list(items.values())

    queries = halves("train", "query") | halves("validation", "query") | halves("test", "query")
    raw = shop_dataset.entities("queries")
    columns = ("interests", "taste")
    given = [
        {"query/user": [id_]} | {f"query/{c}": as_list(raw[id_][f"feature/{c}"]) for c in columns} for id_ in queries
    ]
    assert len(queries) == len(raw) == 57
    assert transform(given) == list(queries.values())


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
    quantiles = [ranked[k * len(ranked) // 10] for k in range(10)]
    filling = {price for price in quantiles if quantiles.count(price) > 1 and price < ranked[-1]}
    assert filling
    bounds = ({*quantiles} | {min(ranked[ranked > price]) for price in filling}) - {ranked[0]}
    columns = {
        "app": list(rows),
        "tags": [row["feature/tags"] for row in rows.values()],
        "words": [grams(row["feature/words"]) for row in rows.values()],
        "price": [
            p if p is None else int(sum(b <= p for b in bounds)) for p in (r["feature/price"] for r in rows.values())
        ],
        "look": vector_classes(
            pa.array([row["feature/look"] for row in rows.values()], pa.list_(pa.float32()))
        ).to_pylist(),
    }
    check_mutual_information(shop_dataset.mutual_information(), columns, [1] * len(rows))


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
