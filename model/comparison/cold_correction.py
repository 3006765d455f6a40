"""The simplest remedy for cold items: a constant added to their scores, the largest that costs no more than a price.

The price is a share of all the pairs that are found without it. As the constant grows, a cold item climbs past warm
ones: each pair is in its query's top k above a bound of its own, if its item is cold, or below one, if it is warm. So
the constant is found exactly, by one look at the scores. The constant that finds most would not do: where cold items
are few it may well be one that buries them.

Shapes: N items of the corpus, P pairs.
"""

import math

import numpy as np
from numpy.typing import NDArray

from model.ranking.metrics import Flags, Floats, Indices
from model.ranking.ranking import Scorer, candidate_scores
from model.ranking.split_pairs import SplitPairs


def shifted(score: Scorer, cold: Flags, *, shift: float) -> Scorer:
    """Scores with a constant added to those of the cold items ([N])."""

    def score_shifted(batch: Indices) -> NDArray[np.float32] | Floats:
        scores = score(batch)
        scores[:, cold] += shift
        return scores

    return score_shifted


def bounds(pairs: SplitPairs, score: Scorer, *, cold: Flags, k: int) -> Floats:
    """Where each pair enters its query's top k, or leaves it.

    Args:
        pairs: The split.
        score: Without the constant.
        cold: [N] Which items get it.
        k: How many are offered.

    Returns:
        [P] A pair of a cold item is in the top k with every constant above its bound, one of a warm item with every
        constant below; ties count against it, also those of the query's other pairs, though Recall@k finds one
        of these for each place. Infinite where no constant matters.
    """
    found = np.empty(len(pairs.query_index))
    by_query = np.argsort(pairs.query_index, kind="stable")
    starts = np.searchsorted(pairs.query_index[by_query], np.arange(len(pairs.query_ids) + 1))
    queries = np.arange(len(pairs.query_ids))
    for query, scores in candidate_scores(pairs, score, queries=queries):
        sides = {True: scores[cold], False: scores[~cold]}
        best = {side: _highest(values, k) for side, values in sides.items()}
        for pair in by_query[starts[query] : starts[query + 1]]:
            item = pairs.item_index[pair]
            is_cold = bool(cold[item])
            places = k - int(np.count_nonzero(sides[is_cold] >= scores[item]))  # that others may take before it
            bound = _rise(scores[item], best[not is_cold], places=places)
            found[pair] = bound if is_cold else -bound
    return found


def _highest(values: NDArray[np.floating], k: int) -> NDArray[np.floating]:
    """The k highest, best first."""
    some = np.partition(values, len(values) - k)[len(values) - k :] if k < len(values) else values
    return np.sort(some)[::-1]


def _rise(own: float, others: NDArray[np.floating], *, places: int) -> float:
    """Above which rise of an item at most so many of the others, best first, score as high as it or higher."""
    if places < 0 or own == -np.inf:
        return np.inf
    return float(others[places] - own) if places < len(others) else -np.inf


def largest_shift(found: Floats, is_cold: Flags, *, price: float) -> float:
    """The largest constant that costs no more than a price; 0 where none would change anything.

    Between two bounds every constant finds the same, so it is the one halfway.

    Args:
        found: [P] From `bounds`.
        is_cold: [P] Whether the pair's item is cold.
        price: The share of the pairs in the top k without a constant that may be missing with it.
    """
    turns = np.unique(found[np.isfinite(found) & (found > 0)])
    if not len(turns):
        return 0.0
    edges = np.concatenate([[0.0], turns, [turns[-1] + 2]])
    shifts = np.concatenate([[0.0], (edges[1:] + edges[:-1]) / 2])
    of_cold, of_warm = np.sort(found[is_cold]), np.sort(found[~is_cold])
    hits = np.searchsorted(of_cold, shifts, "left") + len(of_warm) - np.searchsorted(of_warm, shifts, "right")
    return float(shifts[hits >= math.ceil(hits[0] * (1 - price))].max())
