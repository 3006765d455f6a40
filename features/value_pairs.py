"""Counting of value pairs: how often values of two features stand in one row.

A row with several values has each value of the one with each of the other, `size` pairs in all.

Letters: n rows (items), p pairs of values in all rows.
"""

import numpy as np

from features.item_values import Integers, Values
from features.ranges import begins_run, offsets, ranges

_DENSE = 4
"""A cell for each possible pair is faster than sorting the pairs, up to about so many cells a pair."""

_PAIRS_AT_ONCE = 1 << 25
"""Some 40 bytes each while they are counted; two texts of 20 and 500 words an item have 10,000."""


def count_value_pairs(
    first: Values, second: Values, *, weights: Integers | None, at_once: int = _PAIRS_AT_ONCE
) -> tuple[Integers, Integers, Integers]:
    """Counts the pairs of values in each row: its values of one feature times its values of another.

    Args:
        first: Of n rows.
        second: Of the same rows.
        weights: int64 [n]; None: every row counts once.
        at_once: About so many pairs are in memory together; all of a row are.

    Returns:
        int64 [distinct pairs of a cell and a size] each, by rising cell, then size: the cell, which is the place in
        `first.distinct` times the number of `second.distinct`, plus the place in these; the size; the count.
    """
    parts = _parts(first.sizes * second.sizes, at_once)
    if len(parts) == 1:
        return _count(first, second, weights=weights)
    counted = [
        _count(first.take(rows), second.take(rows), weights=None if weights is None else weights[rows])
        for rows in parts
    ]
    cells, sizes, counts = (np.concatenate(columns) for columns in zip(*counted, strict=True))
    order = np.lexsort((sizes, cells))
    cells, sizes = cells[order], sizes[order]
    starts = np.flatnonzero(begins_run(cells) | begins_run(sizes))
    return cells[starts], sizes[starts], np.add.reduceat(counts[order], starts)


def _parts(pairs: Integers, at_once: int) -> list[Integers]:
    """Consecutive rows, int64 each, of about so many pairs together, out of the pairs of each row, int64 [n]."""
    part = np.cumsum(pairs) // at_once
    return np.split(np.arange(len(pairs)), np.flatnonzero(np.diff(part)) + 1)


def _count(first: Values, second: Values, *, weights: Integers | None) -> tuple[Integers, Integers, Integers]:
    """As `count_value_pairs` does, all at once."""
    cells, sizes, rows = _cells(first, second)
    weight = None if weights is None else weights if rows is None else weights[rows]
    possible = len(first.distinct) * len(second.distinct) * len(sizes)
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
    return cell, sizes[found - cell * len(sizes)], counts


def _cells(first: Values, second: Values) -> tuple[Integers, Integers, Integers | None]:
    """Each pair of values as a number, int64 [p]: its cell, as `count_value_pairs` has it, and its size.

    The number is the cell times the number of sizes, plus the place of the size.

    Returns:
        These; the sizes, rising; each pair's row, int64 [p], or None if each row has one pair.
    """
    width = len(second.distinct)
    if first.single and second.single:
        return first.places * width + second.places, np.ones(1, np.int64), None
    sizes, size = np.unique(first.sizes * second.sizes, return_inverse=True)
    rows = np.repeat(np.arange(len(size)), first.sizes)  # of each value of the first
    partners = second.sizes[rows]
    # Below 2^63: for more, a block would have to hold 2^25 distinct values of two features each.
    of_first = (first.places * width) * len(sizes) + size[rows]
    cells = np.repeat(of_first, partners) + second.places[ranges(offsets(second.sizes)[rows], partners)] * len(sizes)
    return cells, sizes, np.repeat(rows, partners)
