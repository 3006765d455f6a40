"""Mutual information of item features as a table of coloured cells, which can point at a mask group.

A table, not a picture: it is read aloud cell by cell, and a row marks its own mask group without a script.
"""

import json
from dataclasses import dataclass

from features.dataset import Dataset
from model.mask_groups import INFORMATION, as_written, read_mask_groups
from stage import storage
from stage.errors import UsageError


@dataclass(frozen=True)
class Cell:
    """What two features tell of each other."""

    nats: float | None
    """None on the diagonal."""
    normalized: float
    chance: float
    grouped: bool
    """The column's feature is masked where the row's is the seed."""

    @property
    def opacity(self) -> float:
        """How strongly the cell is coloured, in [0, 1]."""
        return round(min(max(self.normalized, 0.0), 1.0), 3)


@dataclass(frozen=True)
class Heatmap:
    """All pairs of a corpus's features."""

    weighting: str
    rows: dict[str, list[Cell]]
    """Seed -> a cell for each feature, in the order of the rows."""
    groups: dict[str, list[str]]
    """Seed -> what is masked with it, itself the first; empty if the dataset's features can't be grouped."""
    entropies: dict[str, float]
    """In nats."""


def read_heatmap(dataset: Dataset) -> Heatmap:
    """Reads mutual_information.json, and the mask groups that the dataset's spec makes of it.

    Raises:
        StageError: If it can't be read or lacks a feature.
    """
    try:
        groups = read_mask_groups(dataset, dataset.spec.ssl)
    except UsageError:
        groups = {}
    path = storage.join(dataset.directory, INFORMATION)
    with as_written(path):
        content = json.loads(storage.read_bytes(path))
        names = content["features"]
        rows = {
            seed: [
                Cell(
                    nats=content["mutual_information"][i][j],
                    normalized=content["normalized"][i][j] or 0.0,
                    chance=content["chance"][i][j] or 0.0,
                    grouped=name in groups.get(seed, []),
                )
                for j, name in enumerate(names)
            ]
            for i, seed in enumerate(names)
        }
        entropies = {name: float(content["entropies"][name]) for name in names}
        return Heatmap(content["weighting"], rows, groups, entropies)
