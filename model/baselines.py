"""What a user would have without the model: popularity, and item co-occurrence.

Shapes: `Q` queries of the ranked split, `q` of a batch, `T` training queries, `N` items of the corpus.
"""

import numpy as np
import scipy.sparse as sp

from model.metrics import Floats, Indices
from model.ranking import Scorer


def popularity(train_count: Indices) -> Scorer:
    """Scores an item by the training examples that hold it ([N]), the same for every query."""

    def score(batch: Indices) -> Floats:
        return np.tile(train_count.astype(np.float64), (len(batch), 1))

    return score


def co_occurrence(*, training: sp.csr_array, history: sp.csr_array, before: sp.csr_array | None = None) -> Scorer:
    """Item-based collaborative filtering.

    Two items are as alike as the cosine of their columns in `training`: the queries that have both, over the square
    root of the product of the queries that have each. An item's score is its likeness to each item of the query's
    history, summed; a query without history scores every item 0. The likeness matrix takes as many steps as there are
    pairs of items within a training query.

    In session mode a training query is an example, and what its history holds is told apart from what came next: an
    item's likeness to a history's counts the examples in which the one followed the other.

    Args:
        training: [T, N] True where a training query has the item.
        history: [Q, N] The same for the queries that will be ranked.
        before: [T, N] True where the history of a training example has the item, in session mode.
    """
    items = _unit_columns(training)
    likeness = sp.csr_array((items if before is None else _unit_columns(before)).T @ items)
    history = sp.csr_array(history, dtype=np.float64)

    def score(batch: Indices) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        # Rounded to float32, sums that differ only by the order of their terms tie, as they should.
        return (history[batch] @ likeness).toarray().astype(np.float32)

    return score


def _unit_columns(flags: sp.csr_array) -> sp.csr_array:
    """Flags over the length of their column."""
    count = np.asarray(flags.sum(axis=0), dtype=np.float64)
    return sp.csr_array(flags, dtype=np.float64) @ sp.diags_array(1 / np.sqrt(np.maximum(count, 1)))
