"""A made-up log over a made-up catalogue, a block of lines at a time; a block needs no other but the first.

Mostly a query draws from the three categories that it likes, popular items more often, so that it draws some again at
another time. A few lines are exact duplicates of others. Time runs through 30 days from 2024-01-01.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.raw_logs.synthetic_catalogue import Floats, Ints, Items, Queries

EVENTS = ["install", "impression", "uninstall"]
EVENT_SHARES = [0.80, 0.17, 0.03]
FOLLOWS_TASTE = 0.85
LIKES = [0.6, 0.3, 0.1]
"""How often a query that follows its taste draws from its first, second and third category."""
DUPLICATES = 0.01
START = 1_704_067_200
"""2024-01-01T00:00:00Z, in seconds."""
SECONDS = 30 * 86_400


@dataclass(frozen=True)
class Lines:
    """Lines of the log: what each says, [n]."""

    query: Ints
    item: Ints
    event: Ints
    """Into EVENTS."""
    timestamp: Ints
    """Seconds since 1970, UTC."""


class Log:
    """A log of `total` lines."""

    def __init__(self, *, items: Items, queries: Queries, total: int, seed: int) -> None:
        self._total = total
        self._seed = seed
        self._liked = queries.liked
        self._activity = np.cumsum(queries.activity)
        self._draw_item = _ItemDraw(items)
        self._first: Lines | None = None

    def block(self, lines: range) -> Lines:
        """A part of the log; the part that starts at line 0 must be made first.

        Args:
            lines: Numbers of the lines.
        """
        rng = np.random.default_rng([self._seed, 2, lines.start])
        fresh = self._fresh(lines, rng)
        found = _with_duplicates(fresh, earlier=self._first or fresh, rng=rng)
        if self._first is None:
            self._first = found
        return found

    def _fresh(self, lines: range, rng: np.random.Generator) -> Lines:
        n = len(lines)
        query = _search(self._activity, rng.random(n) * self._activity[-1])
        category = self._liked[query, _search(np.cumsum(LIKES), rng.random(n))]
        item = self._draw_item(np.where(rng.random(n) < FOLLOWS_TASTE, category, -1), rng)
        event = _search(np.cumsum(EVENT_SHARES), rng.random(n))
        within = (np.arange(lines.start, lines.stop) + rng.random(n)) / self._total
        return Lines(query, item, event, START + (within * SECONDS).astype(np.int64))


class _ItemDraw:
    """Draws items of given categories in proportion to their popularity."""

    def __init__(self, items: Items) -> None:
        warm = np.flatnonzero(items.popularity)
        self._items = warm[np.argsort(items.category[warm], kind="stable")]
        """Warm items, category by category."""
        self._cumulative = np.cumsum(items.popularity[self._items])
        categories = np.arange(items.category.max() + 2)
        bounds = np.searchsorted(items.category[self._items], categories)
        before = np.concatenate([[0.0], self._cumulative])
        self._start, self._stop = before[bounds[:-1]], before[bounds[1:]]

    def __call__(self, category: Ints, rng: np.random.Generator) -> Ints:
        """Items, [n]; from all categories where the category is -1 or has no warm item."""
        known = (category >= 0) & (category < len(self._start))
        at = np.where(known, category, 0)
        known &= self._stop[at] > self._start[at]
        start = np.where(known, self._start[at], 0.0)
        stop = np.where(known, self._stop[at], self._cumulative[-1])
        return self._items[_search(self._cumulative, start + rng.random(len(category)) * (stop - start))]


def _with_duplicates(fresh: Lines, *, earlier: Lines, rng: np.random.Generator) -> Lines:
    """Makes some lines duplicates of others, of this block or of an earlier one."""
    n = len(fresh.query)
    duplicate = rng.random(n) < DUPLICATES
    others = np.flatnonzero(~duplicate)
    if not len(others):
        return fresh
    here = others[rng.integers(len(others), size=n)]
    there = rng.integers(len(earlier.query), size=n)
    from_earlier = rng.random(n) < 0.5 if earlier is not fresh else np.zeros(n, dtype=bool)

    def column(own: Ints, others: Ints) -> Ints:
        return np.where(duplicate, np.where(from_earlier, others[there], own[here]), own)

    return Lines(
        query=column(fresh.query, earlier.query),
        item=column(fresh.item, earlier.item),
        event=column(fresh.event, earlier.event),
        timestamp=column(fresh.timestamp, earlier.timestamp),
    )


def _search(cumulative: Floats, drawn: Floats) -> Ints:
    return np.minimum(np.searchsorted(cumulative, drawn, side="right"), len(cumulative) - 1)
