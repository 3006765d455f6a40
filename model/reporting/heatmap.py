"""Mutual information of item features as a table of coloured cells, which can point at a mask group.

A table, not a picture: it is read aloud cell by cell, and a row marks its own mask group without a script.
"""

from dataclasses import dataclass

from features.dataset import Dataset
from features.mutual_information import FeaturePair
from features.spec.training import Ssl
from model.training.mask_groups import read_mask_groups, read_mutual_information
from stage.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Heatmap:
    """All pairs of a corpus's features."""

    weighting: str
    rows: dict[str, list[tuple[FeaturePair | None, bool]]]
    """Seed -> for each feature, in the rows' order: the pair, None on the diagonal, and whether masked with it."""
    groups: dict[str, list[str]]
    """Seed -> what is masked with it, itself the first; empty if the dataset's features can't be grouped so."""
    entropies: dict[str, float]
    """In nats."""


def read_heatmap(dataset: Dataset, ssl: Ssl) -> Heatmap:
    """Reads mutual_information.json, and the mask groups that a model's spec makes of it.

    Args:
        dataset: The dataset.
        ssl: The section of the model's spec, which may be another than the dataset's.

    Raises:
        StageError: If it can't be read or lacks a feature.
    """
    try:
        groups = read_mask_groups(dataset, ssl)
    except UsageError:
        groups = {}
    information = read_mutual_information(dataset)
    pairs = {names: p for p in information.pairs for names in ((p.first, p.second), (p.second, p.first))}
    names = list(information.entropies)
    rows = {seed: [(pairs.get((seed, name)), name in groups.get(seed, [])) for name in names] for seed in names}
    weighting = dataset.spec.mutual_information.weighting
    return Heatmap(weighting=weighting, rows=rows, groups=groups, entropies=information.entropies)
