"""Paired bootstrap over queries: how far a metric, or its gain over another model, depends on which queries there were.

Every metric is a ratio of sums over queries, so a resample is a weight for each query, and all resamples of all metrics
are one matrix product. All models meet the same resamples, which is what makes the intervals of gains paired.

Shapes: S seeds, B resamples, Q queries, M metrics.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.metrics import Flags, Floats, QueryTerms, RankedSplit, query_terms

RESAMPLES = 2000
_SHARE_OUTSIDE = 0.05

Terms = Mapping[str, QueryTerms]
"""Name of a metric -> its terms for every query, [Q] each."""


@dataclass(frozen=True)
class Estimate:
    """A value and its 95% interval; None where there is nothing to say, such as a gain over zero."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Sampled:
    """A metric, and what it came to in each resample."""

    value: float | None
    resamples: Floats
    """[B]; NaN where a resample had no pair for it."""

    def estimate(self) -> Estimate:
        """With its interval."""
        return _estimate(self.value, self.resamples)

    def gain_over(self, other: "Sampled") -> Estimate:
        """By how much it is above another, relative to that."""
        if self.value is None or not other.value:
            return Estimate(None, None, None)
        with np.errstate(divide="ignore", invalid="ignore"):
            resamples = self.resamples / other.resamples - 1
        return _estimate(self.value / other.value - 1, resamples)

    def difference_from(self, other: "Sampled") -> Estimate:
        """By how much it is above another, as a difference."""
        if self.value is None or other.value is None:
            return Estimate(None, None, None)
        return _estimate(self.value - other.value, self.resamples - other.resamples)


class Bootstrap:
    """Resamples of one split's queries."""

    def __init__(self, queries: int, *, resamples: int = RESAMPLES, seed: int = 0) -> None:
        """Draws them: each has Q queries, drawn with replacement."""
        draws = np.random.default_rng(seed)
        self._weights: NDArray[np.float32] = draws.multinomial(
            queries, np.full(queries, 1 / queries), size=resamples
        ).astype(np.float32)

    def sample(self, terms: Terms) -> dict[str, Sampled]:
        """Every metric in every resample."""
        names = list(terms)
        columns = [terms[name].numerators for name in names] + [terms[name].denominators for name in names]
        sums = (self._weights @ np.stack(columns, axis=1).astype(np.float32)).astype(np.float64)
        numerators, denominators = np.split(sums, 2, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            resamples = np.where(denominators > 0, numerators / denominators, np.nan)
        return {name: Sampled(terms[name].ratio(), resamples[:, m]) for m, name in enumerate(names)}


def mean_terms(
    rankings: Sequence[RankedSplit], *, slices: Mapping[str, Flags], metrics: Sequence[tuple[str, str]], queries: int
) -> dict[str, QueryTerms]:
    """Terms of a model's metrics, averaged over its seeds: their ratio is the mean of the seeds' metrics.

    Args:
        rankings: [S] The same split, ranked by each seed's model.
        slices: Name -> flags of the slice's items.
        metrics: (slice, metric) each.
        queries: Q.

    Returns:
        `SLICE/METRIC` -> terms for every query; 0 and 0 for one without a pair in the slice.
    """
    by_seed = []
    for ranking in rankings:
        found = {
            name: query_terms(ranking.of_items(slices[name])) for name in dict.fromkeys(name for name, _ in metrics)
        }
        by_seed.append([(found[name][0], found[name][1][metric]) for name, metric in metrics])
    means = {}
    for m, (name, metric) in enumerate(metrics):
        numerators, denominators = np.zeros(queries), np.zeros(queries)
        for terms in by_seed:
            where, term = terms[m]
            numerators[where] += term.numerators / len(rankings)
            denominators[where] = term.denominators
        means[f"{name}/{metric}"] = QueryTerms(numerators, denominators)
    return means


def _estimate(value: float | None, resamples: Floats) -> Estimate:
    found = resamples[np.isfinite(resamples)]
    if value is None or not len(found):
        return Estimate(value, None, None)
    low, high = np.quantile(found, [_SHARE_OUTSIDE / 2, 1 - _SHARE_OUTSIDE / 2])
    return Estimate(float(value), float(low), float(high))
