"""What a user would have without the model: popularity, and item co-occurrence.

Shapes: Q queries of the ranked split, T training queries, N items of the corpus.
"""

from collections.abc import Iterable
from functools import partial, reduce
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp

from model.network.tensorflow_error import in_memory
from model.ranking.metrics import Floats, Indices
from model.ranking.ranking import Scorer

BASELINES = POPULARITY, CO_OCCURRENCE = "popularity", "co_occurrence"
"""As metrics.json calls them."""


def popularity(train_count: Indices) -> Scorer:
    """Scores an item by the training examples that hold it ([N]), the same for every query."""

    def score(batch: Indices) -> Floats:
        return np.tile(train_count.astype(np.float64), (len(batch), 1))

    return score


def co_occurrence(training: Iterable[tuple[sp.csr_array, sp.csr_array]], *, history: sp.csr_array) -> Scorer:
    """Item-based collaborative filtering.

    Two items are as alike as the cosine of their columns in training: the queries that have both, over the square root
    of the product of the queries that have each. An item's score is its likeness to each item of the query's history,
    summed; a query without history scores every item 0. The likeness matrix takes as many steps as there are pairs of
    items within a training query.

    In session mode a training query is an example, and what its history holds is told apart from what came next: an
    item's likeness to a history's counts the examples in which the one followed the other.

    Args:
        training: Parts of the training queries, at least one, each looked at once: [T, N] True where a query has the
            item, and [T, N] True where it has the item that the first may be alike to. Both are the same but in session
            mode, in which the first is of histories and the second of next items.
        history: [Q, N] True where a query that will be ranked has the item.

    Raises:
        StageError: Also from the scorer, if memory is too small.
    """
    within_memory = partial(
        in_memory,
        f"co-occurrence of {history.shape[1]:,} items",
        remedy="evaluate.baselines=false leaves it out, but for compare",
    )
    with within_memory():
        together, before, after = _sum(_count(*part) for part in training)
        likeness = sp.csr_array(_over_root(before) @ together @ _over_root(after))
        history = sp.csr_array(history, dtype=np.float64)

    @within_memory()
    def score(batch: Indices) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        # Rounded to float32, sums that differ only by the order of their terms tie, as they should.
        return (history[batch] @ likeness).toarray().astype(np.float32)

    return score


_Counts: TypeAlias = tuple[sp.csr_array, Floats, Floats]


def _count(before: sp.csr_array, after: sp.csr_array) -> _Counts:
    """How many queries have both of two items, [N, N], and how many have each, [N] by either side."""
    first, second = (sp.csr_array(flags, dtype=np.float64) for flags in (before, after))
    return sp.csr_array(first.T @ second), first.sum(axis=0), second.sum(axis=0)


def _sum(parts: Iterable[_Counts]) -> _Counts:
    """All parts' counts together; together as large as twice the largest, since each sum is half of that before it.

    To add each part to the sum of all before it would copy that sum each time.
    """
    sums: list[_Counts] = []
    for part in parts:
        sums.append(part)
        while len(sums) > 1 and sums[-2][0].nnz <= 2 * sums[-1][0].nnz:
            last = sums.pop()
            sums[-1] = _add(sums[-1], last)
    return reduce(_add, reversed(sums))


def _add(counts: _Counts, more: _Counts) -> _Counts:
    return counts[0] + more[0], counts[1] + more[1], counts[2] + more[2]


def _over_root(count: Floats) -> sp.dia_array:
    """Scales by the root of a count."""
    return sp.diags_array(1 / np.sqrt(np.maximum(count, 1)))
