"""Ranking metrics of a split, overall and by slice, from the rank of every pair's item.

Shapes: P pairs of the split, R relevant items of one query in a slice, U queries with a pair, N items of the
corpus.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from features.ranges import begins_run

Indices: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]
Metrics: TypeAlias = dict[str, float | None]
"""Metric -> value, in the order in which they are shown; None for a mean over nothing."""

NAMES = ("recall@10", "recall@50", "map@10", "map@50", "ndcg@10", "mrr")
COLD_AMONG_COLD = "cold_among_cold"
"""Cold items once more, with cold items alone for candidates: whether they are told apart, wherever warm ones lie."""


def shown_name(ranking: str) -> str:
    """What people see a ranking called that is a key of metrics.json, where co-occurrence has `_` for `-`."""
    return ranking.replace("_", "-")


@dataclass(frozen=True)
class RankedSplit:
    """The pairs of a split, and where a ranking put the item of each among its query's candidates."""

    query_index: Indices
    """[P] Which query; equal numbers are the same query."""
    item_index: Indices
    """[P] Which item of the corpus."""
    last_rank: Floats
    """[P] How many of the query's candidates score as high as the item or higher, itself included: the last rank that
    ties leave it, 1 the best; inf where the item is no candidate. Items of one query tie where it is equal."""

    def of_items(self, items: Flags) -> "RankedSplit":
        """The pairs whose item is one of the given ([N], True for the items kept)."""
        kept = items[self.item_index]
        return RankedSplit(self.query_index[kept], self.item_index[kept], self.last_rank[kept])


def recall(ranked: RankedSplit, *, k: int) -> float | None:
    """Pairs whose item is in its query's top k, over all pairs; None over none."""
    hits = final_ranks(ranked) <= k
    return float(np.mean(hits)) if len(hits) else None


def metrics(ranked: RankedSplit) -> Metrics:
    """Each metric of `NAMES`.

    Recall is over pairs. The others are ir-measures' AP@k (divided by all R), nDCG@10 and RR, each averaged over the
    queries that have a pair. Ties count against us: the relevant items come last among those that score the same.

    Returns:
        `pairs`, `queries` and the metrics.
    """
    queries, terms = query_terms(ranked)
    found: Metrics = {"pairs": len(ranked.query_index), "queries": len(queries)}
    return found | {name: term.ratio() for name, term in terms.items()}


@dataclass(frozen=True)
class QueryTerms:
    """A metric as a ratio of two sums over queries, which is what can be taken apart and drawn again by query."""

    numerators: Floats
    """[U] Such as a query's pairs in the top k, or its average precision."""
    denominators: Floats
    """[U] Such as a query's pairs, or 1."""

    def ratio(self) -> float | None:
        """The metric; None over nothing."""
        total = self.denominators.sum()
        return float(self.numerators.sum() / total) if total else None


def query_terms(ranked: RankedSplit) -> tuple[Indices, dict[str, QueryTerms]]:
    """Each of `NAMES` by query.

    Returns:
        [U] The queries that have a pair, ascending; and each metric's terms for them.
    """
    order, ranks = _in_order(ranked)
    queries, first, relevant = np.unique(ranked.query_index[order], return_index=True, return_counts=True)
    place = np.arange(len(ranks)) - np.repeat(first, relevant) + 1  # 1 for a query's best relevant item, 2 for its next

    def per_query(gains: Floats) -> Floats:
        return np.add.reduceat(gains, first)

    def recall_of(k: int) -> QueryTerms:
        return QueryTerms(per_query((ranks <= k).astype(np.float64)), relevant.astype(np.float64))

    def mean_of(values: Floats) -> QueryTerms:
        return QueryTerms(values, np.ones(len(values)))

    def average_precision(k: int) -> Floats:
        return per_query(np.where(ranks <= k, place / ranks, 0.0)) / relevant

    ideal = np.cumsum(1 / np.log2(np.arange(1, 11) + 1))
    ndcg = per_query(np.where(ranks <= 10, 1 / np.log2(ranks + 1), 0.0)) / ideal[np.minimum(relevant, 10) - 1]
    return queries, {
        "recall@10": recall_of(10),
        "recall@50": recall_of(50),
        "map@10": mean_of(average_precision(10)),
        "map@50": mean_of(average_precision(50)),
        "ndcg@10": mean_of(ndcg),
        "mrr": mean_of(1 / ranks[first]),
    }


def by_slice(ranked: RankedSplit, slices: Mapping[str, Flags]) -> dict[str, Metrics]:
    """The metrics of each slice: only its items are relevant there, the candidates stay the same.

    Args:
        ranked: The whole split.
        slices: Name -> the slice's items, [N].
    """
    return {name: metrics(ranked.of_items(items)) for name, items in slices.items()}


def final_ranks(ranked: RankedSplit) -> Floats:
    """[P] Ranks once ties are resolved: relevant items that tie take the last places of their tie, one each."""
    order, in_order = _in_order(ranked)
    ranks = np.empty(len(order))
    ranks[order] = in_order
    return ranks


def _in_order(ranked: RankedSplit) -> tuple[Indices, Floats]:
    """[P] The pairs by query and final rank, as places among all; and those ranks."""
    order = np.lexsort((ranked.last_rank, ranked.query_index))
    query, last = ranked.query_index[order], ranked.last_rank[order]
    starts = np.flatnonzero(begins_run(query) | begins_run(last))
    sizes = np.diff(np.append(starts, len(order)))
    behind = np.repeat(starts + sizes, sizes) - np.arange(len(order)) - 1  # relevant items put after it in its tie
    return order, last - behind
