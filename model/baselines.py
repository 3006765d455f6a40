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


def co_occurrence(*, training: sp.csr_array, history: sp.csr_array) -> Scorer:
    """Item-based collaborative filtering.

    Two items are as alike as the cosine of their columns in `training`: the queries that have both, over the square
    root of the product of the queries that have each. An item's score is its likeness to each item of the query's
    history, summed; a query without history scores every item 0. The likeness matrix takes as many steps as there are
    pairs of items within a training query.

    Args:
        training: [T, N] True where a training query has the item.
        history: [Q, N] The same for the queries that will be ranked.
    """
    count = np.asarray(training.sum(axis=0), dtype=np.float64)
    scale = sp.diags_array(1 / np.sqrt(np.maximum(count, 1)))
    columns = sp.csr_array(training, dtype=np.float64) @ scale
    likeness = sp.csr_array(columns.T @ columns)
    history = sp.csr_array(history, dtype=np.float64)

    def score(batch: Indices) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        # Rounded to float32, sums that differ only by the order of their terms tie, as they should.
        return (history[batch] @ likeness).toarray().astype(np.float32)

    return score
