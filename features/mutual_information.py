"""Mutual information of item features, and the mask groups that follow (the paper's correlated feature masking)."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa

from features.joint_counts import CountTable, count_tables
from features.sums import sum_counts

INFORMATION = "mutual_information.json"
"""In a dataset or an aggregate."""
DECIMALS = 12
"""Digits kept in it; the last ones of a float depend on the machine's logarithm."""


@dataclass(frozen=True)
class FeaturePair:
    """What two features tell of each other, in nats."""

    first: str
    second: str
    mutual_information: float
    normalized: float
    """Divided by the smaller entropy; 0 where that is 0."""
    chance: float
    """The same with the second feature permuted over the items: what vocabulary size alone makes of it."""


@dataclass(frozen=True)
class FeatureInformation:
    """What the features of a corpus tell of each other."""

    rows: int
    """Weight counted: items, or training examples."""
    entropies: dict[str, float]
    pairs: list[FeaturePair]


def from_histograms(histograms: pa.Table, features: list[str]) -> FeatureInformation:
    """Mutual information from the counts of a whole corpus.

    MI(a, b) = H(a) + H(b) - H(a, b), each entropy from how many keys were counted how often.

    Args:
        histograms: Schema `features.count_histograms.HISTOGRAM`, perhaps of parts that share no key.
        features: In the order in which they were counted.
    """
    tables = count_tables(features)
    entropy, rows = _entropies(histograms, tables)
    pairs = []
    for first, second in combinations(features, 2):
        plain, chance = (
            max(
                0.0,
                entropy[CountTable(first, None, False)]
                + entropy[CountTable(second, None, permuted)]
                - entropy[CountTable(first, second, permuted)],
            )
            for permuted in (False, True)
        )
        smaller = min(entropy[CountTable(name, None, False)] for name in (first, second))
        pairs.append(FeaturePair(first, second, plain, plain / smaller if smaller > 0 else 0.0, chance))
    return FeatureInformation(rows, {name: entropy[CountTable(name, None, False)] for name in features}, pairs)


def _entropies(histograms: pa.Table, tables: list[CountTable]) -> tuple[dict[CountTable, float], int]:
    merged = sum_counts(histograms, "table", "count").sort_by([("table", "ascending"), ("count", "ascending")])
    numbers = merged.column("table").to_numpy()
    counts, keys = merged.column("count").to_numpy(), merged.column("keys").to_numpy()
    entropies, rows = {}, 0
    for number, table in enumerate(tables):
        begin, end = np.searchsorted(numbers, [number, number + 1])
        c, k = counts[begin:end], keys[begin:end]
        total = math.fsum(c * k)
        rows = rows or round(total)
        entropies[table] = max(0.0, math.log(total) - math.fsum(k * c * np.log(c)) / total) if total else 0.0
    return entropies, rows


def mask_groups(information: FeatureInformation, features: list[str]) -> dict[str, list[str]]:
    """The features that are masked together with each seed.

    Args:
        information: Of at least these features.
        features: Those that masking may touch, k of them.

    Returns:
        Seed -> the seed, then its floor(k/2) features of highest mutual information, ties by name. Of two features
        that would mask both, so there a group is its seed alone.
    """
    known = {(p.first, p.second): p.mutual_information for p in information.pairs}
    with_others = {
        seed: {o: known.get((seed, o), known.get((o, seed), 0.0)) for o in features if o != seed} for seed in features
    }
    size = min(len(features) // 2, max(len(features) - 2, 0))
    return {
        seed: [seed, *sorted(others, key=lambda o: (-round(others[o], DECIMALS), o))[:size]]
        for seed, others in with_others.items()
    }


def to_json(information: FeatureInformation, *, weighting: str, seed: int, numeric_buckets: int) -> bytes:
    """The bytes of mutual_information.json: sorted keys, no times."""
    features = list(information.entropies)
    content: dict[str, Any] = {
        "features": features,
        "unit": "nats",
        "weighting": weighting,
        "seed": seed,
        "numeric_buckets": numeric_buckets,
        "rows": information.rows,
        "entropies": {name: round(value, DECIMALS) for name, value in information.entropies.items()},
        "mutual_information": _matrix(information, lambda pair: pair.mutual_information),
        "normalized": _matrix(information, lambda pair: pair.normalized),
        "chance": _matrix(information, lambda pair: pair.chance),
        "mask_groups": mask_groups(information, features),
    }
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def from_json(content: bytes) -> FeatureInformation:
    """Reads what `to_json` wrote.

    Raises:
        ValueError: If it is no such JSON.
        KeyError: If a part is missing.
    """
    tree = json.loads(content)
    names = tree["features"]
    pairs = [
        FeaturePair(names[i], names[j], *(tree[kind][i][j] for kind in ("mutual_information", "normalized", "chance")))
        for i, j in combinations(range(len(names)), 2)
    ]
    return FeatureInformation(tree["rows"], {name: tree["entropies"][name] for name in names}, pairs)


def _matrix(information: FeatureInformation, of: Callable[[FeaturePair], float]) -> list[list[float | None]]:
    """A symmetric matrix in the order of the features, null on the diagonal."""
    values = {(pair.first, pair.second): round(of(pair), DECIMALS) for pair in information.pairs}
    names = list(information.entropies)
    return [[values.get((a, b), values.get((b, a))) for b in names] for a in names]
