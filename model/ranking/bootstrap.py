"""Paired bootstrap: how far a metric, or its gain over another model, depends on which queries there were, and seeds.

Every metric is a ratio of sums over queries, so a resample is a weight for each query, and all resamples of all metrics
are one matrix product. All models meet the same resamples, of queries as of seeds, which is what makes the intervals of
gains paired.

Five seeds are too few to be drawn with replacement: such intervals hold the true mean of seeds 84 times in 100, not 95.
So the seeds' weights in a resample are drawn such that the weighted mean lies around the seeds' mean as Student's t, of
as many degrees of freedom as there are seeds but one. What differs by seed and query both is counted twice, which errs
towards wide intervals.

Shapes: S seeds, B resamples, Q queries, C columns of values that are summed over queries.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from model.ranking.metrics import Flags, Floats, Indices, QueryTerms, RankedSplit, query_terms

RESAMPLES = 2000
_SHARE_OUTSIDE = 0.05
_AT_ONCE = 64
"""Resamples that are drawn."""
_MULTIPLIED_AT_ONCE = 256
_MOST_KEPT = 1 << 30
"""Weights, of two bytes: more are drawn anew for each sample, in parts as large as those that are kept have at most."""
_EXACT_IN_FLOAT32 = 1 << 24
"""Integers up to it are numbers in float32."""

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True)
class SeedTerms:
    """A metric of a model that was trained with several seeds, as sums over queries."""

    numerators: Floats
    """[S, Q]; 0 for a query without a pair in the slice."""
    denominators: Floats
    """[Q] The same for every seed."""

    def ratio(self) -> float | None:
        """The mean of the seeds' metrics; None over nothing."""
        return QueryTerms(self.numerators.mean(axis=0), self.denominators).ratio()

    def by_user(self, users: Indices) -> "SeedTerms":
        """Each user's queries as one, so that they are drawn together: what one user asks is correlated.

        Args:
            users: [Q] Whose each query is, numbered from 0.
        """
        sums: Floats = np.stack([np.bincount(users, terms) for terms in (*self.numerators, self.denominators)])
        return SeedTerms(sums[:-1], sums[-1])


@dataclass(frozen=True)
class Estimate:
    """A value and its 95% interval; None where there is nothing to say, as of a gain over zero, or of a single query.

    The upper end alone is None where it is beyond any number, since the other model may find nothing.
    """

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Sampled:
    """A metric, and what it came to in each resample."""

    value: float | None
    resamples: Floats
    """[B] Of queries, the seeds averaged; NaN where a resample had no pair for it."""
    of_seeds_too: Floats
    """[B] Of queries and of seeds."""

    def estimate(self) -> Estimate:
        """With its interval over queries."""
        return _estimate(self.value, self.resamples)

    def gain_over(self, other: "Sampled", *, seeds_too: bool = False) -> Estimate:
        """By how much it is above another, relative to that; with its interval over queries, or over seeds too."""
        if self.value is None or not other.value:
            return Estimate(None, None, None)
        own, others = (s.of_seeds_too if seeds_too else s.resamples for s in (self, other))
        with np.errstate(divide="ignore", invalid="ignore"):
            resamples = own / others - 1
        return _estimate(self.value / other.value - 1, resamples)

    def difference_from(self, other: "Sampled") -> Estimate:
        """By how much it is above another, as a difference."""
        if self.value is None or other.value is None:
            return Estimate(None, None, None)
        return _estimate(self.value - other.value, self.resamples - other.resamples)


class Bootstrap:
    """Resamples of one split's queries."""

    def __init__(self, queries: int, *, resamples: int = RESAMPLES) -> None:
        """Each has Q queries, drawn with replacement; they are drawn once, or anew each time if too many to keep."""
        self._queries, self._resamples = queries, resamples
        self._weights: NDArray[np.uint16] | None = None
        if resamples * queries <= _MOST_KEPT:
            self._weights = np.empty((resamples, queries), np.uint16)
            parts = self._draw(_AT_ONCE)
            for start in range(0, resamples, _AT_ONCE):
                self._weights[start : start + _AT_ONCE] = next(parts)

    def sample(self, terms: Mapping[_Key, SeedTerms]) -> dict[_Key, Sampled]:
        """Every metric in every resample. Many at once take less time than one after the other."""
        columns = [column for term in terms.values() for column in (*term.numerators, term.denominators)]
        # Metrics of a slice have their denominators in common, and so have models.
        keys = [column.tobytes() for column in columns]
        distinct = dict(zip(keys, columns, strict=True))
        sums = self._sums(np.array([*distinct.values()]))
        place = {key: number for number, key in enumerate(distinct)}
        ends = np.cumsum([len(term.numerators) + 1 for term in terms.values()])
        of_terms = np.split([place[key] for key in keys], ends[:-1])
        return {name: _sampled(term, sums[:, of]) for (name, term), of in zip(terms.items(), of_terms, strict=True)}

    def _sums(self, columns: Floats) -> Floats:
        """The sum over queries of each column, [C, Q], in each resample, [B, C]."""
        # No digit of a table may depend on the machine's order of adding up. In float32, which takes half the time, no
        # order matters to integers whose sum is small enough; a resample has Q queries.
        exact = np.all(columns == np.rint(columns), axis=1)
        exact &= np.abs(columns).max(axis=1) * columns.shape[1] <= _EXACT_IN_FLOAT32
        in_float32, in_float64 = columns[exact].T.astype(np.float32), columns[~exact].T
        found = []
        for part in self._parts():
            sums = np.empty((len(part), len(columns)))
            sums[:, exact] = part.astype(np.float32) @ in_float32
            sums[:, ~exact] = part.astype(np.float64) @ in_float64
            found.append(sums)
        return np.concatenate(found)

    def _parts(self) -> Iterator[NDArray[np.integer]]:
        """The resamples, as many at a time as take little memory."""
        if self._weights is None:
            yield from self._draw(max(1, _AT_ONCE * _MOST_KEPT // (self._resamples * self._queries)))
        else:
            yield from np.array_split(self._weights, -(-len(self._weights) // _MULTIPLIED_AT_ONCE))

    def _draw(self, at_once: int) -> Iterator[NDArray[np.int64]]:
        """How often each query is in each resample, [at_once, Q]; the same however many are drawn at once."""
        draws = np.random.default_rng(0)
        for start in range(0, self._resamples, at_once):
            shape = min(at_once, self._resamples - start), self._queries
            # Counting what is drawn takes a fifth of the time of multinomial draws.
            drawn = draws.integers(self._queries, size=shape)
            drawn += np.arange(shape[0])[:, np.newaxis] * self._queries
            yield np.bincount(drawn.ravel(), minlength=drawn.size).reshape(shape)


def _sampled(terms: SeedTerms, sums: Floats) -> Sampled:
    """From the seeds' numerators and the denominator in each resample, [B, S + 1]."""
    numerators, denominators = sums[:, :-1], sums[:, -1]
    seeds = numerators.shape[1]
    if np.count_nonzero(terms.denominators) < 2:
        # Of a single query all resamples are alike, which says nothing of others.
        nothing = np.full(len(sums), np.nan)
        return Sampled(terms.ratio(), nothing, nothing)
    drawn = _seed_weights(seeds, resamples=len(sums))
    with np.errstate(divide="ignore", invalid="ignore"):
        resamples, of_seeds_too = (
            np.where(denominators > 0, found / denominators, np.nan)
            for found in (numerators.mean(axis=1), np.maximum(np.sum(numerators * drawn, axis=1), 0))
        )
    return Sampled(terms.ratio(), resamples, of_seeds_too)


@cache
def _seed_weights(seeds: int, *, resamples: int) -> Floats:
    """How much of each seed is in each resample, [B, S]; each row adds up to 1.

    With normal z_s, their mean taken off, and chi-squared c of S - 1 degrees of freedom, the mean of any x_s by the
    weights 1 / S + z_s / sqrt(S c) lies around their plain mean as Student's t times the standard error of that mean.
    """
    if seeds == 1:
        return np.ones((resamples, 1))
    # Of as many seeds always the same draws, so that all models meet the same.
    draws = np.random.default_rng(seeds)
    normal = draws.standard_normal((resamples, seeds))
    normal -= normal.mean(axis=1, keepdims=True)
    weights: Floats = 1 / seeds + normal / np.sqrt(seeds * draws.chisquare(seeds - 1, size=(resamples, 1)))
    return weights


def seed_terms(
    rankings: Sequence[RankedSplit], *, slices: Mapping[str, Flags], keys: Iterable[str], queries: int
) -> dict[str, SeedTerms]:
    """Terms of a model's metrics.

    Args:
        rankings: [S] The same split, ranked by each seed's model.
        slices: Name -> flags of the slice's items.
        keys: `SLICE/METRIC` each.
        queries: Q.

    Returns:
        Key -> terms for every query; 0 and 0 for one without a pair in the slice.
    """
    parts = {key: key.split("/") for key in keys}
    names = {name for name, _ in parts.values()}
    by_seed = [{name: query_terms(ranking.of_items(slices[name])) for name in names} for ranking in rankings]
    found = {}
    for key, (name, metric) in parts.items():
        numerators, denominators = np.zeros((len(rankings), queries)), np.zeros(queries)
        for seed, of_seed in enumerate(by_seed):
            where, terms = of_seed[name][0], of_seed[name][1][metric]
            numerators[seed, where] = terms.numerators
            denominators[where] = terms.denominators
        found[key] = SeedTerms(numerators, denominators)
    return found


def _estimate(value: float | None, resamples: Floats) -> Estimate:
    # A gain over nothing is above all others; of nothing over nothing there is none.
    found = resamples[~np.isnan(resamples)]
    if not len(found):
        return Estimate(value, None, None)
    with np.errstate(invalid="ignore"):  # between an infinite one and the next
        ends = np.quantile(found, [_SHARE_OUTSIDE / 2, 1 - _SHARE_OUTSIDE / 2])
    low, high = (float(end) if np.isfinite(end) else None for end in ends)
    return Estimate(value, low, high)
