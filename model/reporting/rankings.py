"""How well models and baselines rank a split, by slice and by decile of popularity."""

from collections.abc import Mapping
from dataclasses import dataclass

from model.ranking.metrics import COLD_AMONG_COLD, Metrics
from model.ranking.ranking import Scorer
from model.ranking.slice_rankings import rank_slices
from model.ranking.split_scorers import SplitToRank
from model.reporting.deciles import popularity_deciles, recall_by_decile


@dataclass(frozen=True)
class Rankings:
    """What was measured."""

    slices: dict[str, dict[str, Metrics]]
    """Slice, `COLD_AMONG_COLD` too -> ranking -> metrics."""
    decile_pairs: dict[str, int]
    """Decile -> pairs with an item of it."""
    deciles: dict[str, dict[str, float | None]]
    """Ranking -> decile -> Recall@10."""


def measure_rankings(split: SplitToRank, scorers: Mapping[str, Scorer]) -> Rankings:
    """Ranks every pair of a split by each scorer.

    Args:
        split: What is ranked.
        scorers: Name -> scorer.
    """
    found = rank_slices(split, scorers, description="report: rank")
    deciles = popularity_deciles(split.corpus.train_count)
    return Rankings(
        slices={one: {name: found[name].metrics[one] for name in found} for one in (*split.slices, COLD_AMONG_COLD)},
        decile_pairs={name: int(items[split.pairs.item_index].sum()) for name, items in deciles.items()},
        deciles={name: recall_by_decile(ranking.ranked, deciles) for name, ranking in found.items()},
    )
