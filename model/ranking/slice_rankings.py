"""How well each of several rankings of a split does, slice by slice."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from model.ranking.metrics import COLD_AMONG_COLD, Metrics, RankedSplit, by_slice, metrics
from model.ranking.ranking import Scorer, rank_pairs
from model.ranking.split_scorers import SplitToRank
from stage.progress import bar


@dataclass(frozen=True)
class SliceRanking:
    """A ranking, measured."""

    ranked: RankedSplit
    """The whole split."""
    metrics: dict[str, Metrics]
    """Slice -> metrics; `COLD_AMONG_COLD` is the last."""


def rank_slices(split: SplitToRank, scorers: Mapping[str, Scorer], *, description: str) -> dict[str, SliceRanking]:
    """Ranks every pair of a split by each scorer, and pairs of cold items among these too.

    Args:
        split: What is ranked.
        scorers: Name -> scorer.
        description: Of the bar that shows progress.

    Returns:
        Name -> what was measured.
    """
    pairs, overall, cold = split.pairs, split.slices["overall"], split.slices["cold"]
    if split.among is not None:
        overall, cold = split.among, split.among & cold
    # A query of a cold item is ranked twice.
    rankings = sum(len(np.unique(pairs.query_index[among[pairs.item_index]])) for among in (overall, cold))
    found = {}
    with bar(total=len(scorers) * rankings, unit="rankings", description=description) as progress:
        rank = partial(rank_pairs, pairs, advance=progress.update)
        for name, score in scorers.items():
            ranked = rank(score, among=split.among)
            among_cold = metrics(rank(score, among=cold))
            found[name] = SliceRanking(ranked, by_slice(ranked, split.slices) | {COLD_AMONG_COLD: among_cold})
    return found
