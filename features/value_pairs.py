"""Counting of value pairs: how often values of two features stand in one row.

A row with several values has each value of the one with each of the other, `size` pairs in all.

Letters: n rows (items), k of the values of the first feature, p their pairs with values of the second.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from features.item_values import Integers, Values
from features.ranges import begins_run, offsets, ranges

_DENSE = 4
"""A cell for each possible pair is faster than sorting the pairs, up to about so many cells a pair."""


class PairCounts(NamedTuple):
    """How often pairs of values were counted, by rising cell, then size; int64 [distinct pairs of a cell and a size].

    Several of these may have the same cell and size: their counts are to be added up.
    """

    cells: Integers
    """The place in the first feature's distinct values times the number of the second's, plus the place in these."""
    sizes: Integers
    counts: Integers


def count_value_pairs(first: Values, second: Values, *, weights: Integers | None, at_once: int) -> Iterator[PairCounts]:
    """Counts the pairs of values in each row: its values of one feature times its values of another.

    Args:
        first: Of n rows.
        second: Of the same rows.
        weights: int64 [n]; None: every row counts once.
        at_once: About so many pairs are in memory together, however many a row has: at most those of one value of
            `first` in one row are more.

    Yields:
        At least one. Only the pairs of the value of `first` with which one ends, and the next begins, may be in both.
    """
    pairs = first.sizes * second.sizes
    if pairs.sum() <= at_once and first.single and second.single:
        cells = first.places * len(second.distinct) + second.places
        yield _count(
            cells, weights, sizes=np.ones(1, np.int64), span=(0, len(first.distinct)), width=len(second.distinct)
        )
        return
    sizes, size = np.unique(pairs, return_inverse=True)
    starts = offsets(second.sizes)
    rows = np.repeat(np.arange(len(pairs)), first.sizes)  # of each value of the first
    places = first.places
    if pairs.sum() >= at_once:  # as many already make two parts
        # By the first's value, so that equal cells meet in a part.
        order = np.argsort(places, kind="stable")
        rows, places = rows[order], places[order]
    for begin, end in _parts(second.sizes[rows], at_once):
        mine, place = rows[begin:end], places[begin:end]
        span = int(place.min()), int(place.max()) + 1
        partners = second.sizes[mine]
        # Below 2^63: for more, a block would have to hold 2^25 distinct values of two features each.
        of_first = (place - span[0]) * (len(second.distinct) * len(sizes)) + size[mine]
        cells = np.repeat(of_first, partners)
        cells += second.places[ranges(starts[mine], partners)] * len(sizes)
        weight = None if weights is None else np.repeat(weights[mine], partners)
        yield _count(cells, weight, sizes=sizes, span=span, width=len(second.distinct))


def _parts(pairs: Integers, at_once: int) -> Iterator[tuple[int, int]]:
    """Where parts begin and end that have about so many pairs together, out of those of each value, int64 [k]."""
    part = np.cumsum(pairs) // at_once
    cuts = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(pairs)]
    return pairwise(cuts)


def _count(
    cells: Integers, weight: Integers | None, *, sizes: Integers, span: tuple[int, int], width: int
) -> PairCounts:
    """Counts pairs all at once.

    Args:
        cells: int64 [p], each pair's cell, as if the first value of the span were the first of all, times the number
            of sizes, plus the place of its size.
        weight: int64 [p]; None: every pair counts once.
        sizes: Rising.
        span: Of the places of the first feature's values.
        width: How many values the second has.
    """
    possible = (span[1] - span[0]) * width * len(sizes)
    if possible <= _DENSE * len(cells):
        totals = np.bincount(cells, weight)  # float64 with weights: exact below 2^53
        found = np.flatnonzero(totals)
        counts = totals[found].astype(np.int64)
    elif weight is None:
        cells = np.sort(cells)
        starts = np.flatnonzero(begins_run(cells))
        found, counts = cells[starts], np.diff(np.append(starts, len(cells)))
    else:
        order = np.argsort(cells)
        starts = np.flatnonzero(begins_run(cells[order]))
        found, counts = cells[order][starts], np.add.reduceat(weight[order], starts)
        found, counts = found[counts > 0], counts[counts > 0]
    cell = found // len(sizes)
    return PairCounts(cell + span[0] * width, sizes[found - cell * len(sizes)], counts)
