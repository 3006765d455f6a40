"""How well models and baselines rank a split, by slice and by decile of popularity.

Shapes: N items of the corpus.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from model.metrics import Flags, Metrics, RankedSplit, by_slice
from model.ranking import Scorer, rank_pairs
from model.reporting.deciles import popularity_deciles, recall_by_decile
from model.split_scorers import SplitToRank
from stage.progress import bar


@dataclass(frozen=True)
class Rankings:
    """What was measured."""

    slices: dict[str, dict[str, Metrics]]
    """Slice -> ranking -> metrics."""
    decile_pairs: dict[str, int]
    """Decile -> pairs with an item of it."""
    deciles: dict[str, dict[str, float | None]]
    """Ranking -> decile -> Recall@10."""


def measure_rankings(split: SplitToRank, scorers: Mapping[str, Scorer], slices: Mapping[str, Flags]) -> Rankings:
    """Ranks every pair of a split by each scorer.

    Args:
        split: What is ranked.
        scorers: Name -> scorer.
        slices: Name -> the slice's items, [N].
    """
    pairs = split.pairs
    queries = len(np.unique(pairs.query_index))
    ranked: dict[str, RankedSplit] = {}
    with bar(total=len(scorers) * queries, unit="queries", description="report: rank") as progress:
        for name, score in scorers.items():
            ranked[name] = rank_pairs(pairs, score, batch_size=split.settings.batch_size, advance=progress.update)
    measured = {name: by_slice(found, slices) for name, found in ranked.items()}
    deciles = popularity_deciles(split.corpus.train_count)
    return Rankings(
        slices={one: {name: measured[name][one] for name in ranked} for one in slices},
        decile_pairs={name: int(items[pairs.item_index].sum()) for name, items in deciles.items()},
        deciles={name: recall_by_decile(found, deciles) for name, found in ranked.items()},
    )
