"""Exact ranking of a split's items among all candidates, a batch of queries at a time.

Shapes: Q queries, q queries of a batch, N items of the corpus, n entities of a side, D embedding dimension.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model.network.diverged import Diverged
from model.network.feature_values import Features
from model.network.full_float32 import use_full_float32
from model.network.tensorflow_error import in_memory
from model.ranking.metrics import Flags, Floats, Indices, RankedSplit
from model.ranking.scores import SCORES_AT_ONCE, Embeddings
from model.ranking.split_pairs import SplitPairs

Scorer: TypeAlias = Callable[[Indices], NDArray[np.float32] | Floats]
"""[q] queries -> [q, N] scores, a fresh array; higher is better."""

QUERIES_AT_ONCE = 128
"""With as many, the scores of some 50,000 items stay in memory that the process has already; with 1024 of 37,000 items,
asking for it anew each time took half the time of a ranking (measured)."""
_ROWS_AT_ONCE = 1024
"""Embeddings that are copied at a time, so that a ranking holds no more of them than `memory` charges."""


def rank_pairs(
    pairs: SplitPairs,
    score: Scorer,
    *,
    among: Flags | None = None,
    advance: Callable[[int], object] | None = None,
) -> RankedSplit:
    """Ranks every pair's item among its query's candidates.

    Args:
        pairs: The split.
        score: Scores of the whole corpus for some queries.
        among: [N] Candidates are these items alone; pairs of other items are left out. By default all are.
        advance: Called with 1 for each query that is done, for whoever shows progress.
    """
    kept = slice(None) if among is None else among[pairs.item_index]
    query_index, item_index = pairs.query_index[kept], pairs.item_index[kept]
    by_query = np.argsort(query_index, kind="stable")
    bounds = np.searchsorted(query_index[by_query], np.arange(len(pairs.query_ids) + 1))
    last_rank = np.empty(len(by_query))
    for query, scores in candidate_scores(pairs, score, queries=np.unique(query_index)):
        if among is not None:
            scores[~among] = -np.inf
        for pair in by_query[bounds[query] : bounds[query + 1]]:
            own = scores[item_index[pair]]
            last_rank[pair] = np.count_nonzero(scores >= own) if own > -np.inf else np.inf
        if advance is not None:
            advance(1)
    return RankedSplit(query_index, item_index, last_rank)


def candidate_scores(
    pairs: SplitPairs, score: Scorer, *, queries: Indices
) -> Iterator[tuple[int, NDArray[np.floating]]]:
    """Scores some queries, as many at a time as memory does.

    Args:
        pairs: The split.
        score: Scores of the whole corpus for some queries.
        queries: Any number of them.

    Yields:
        Each query in their order, with its scores [N], -inf where an item is no candidate.
    """
    excluded = pairs.excluded
    step = max(1, min(QUERIES_AT_ONCE, SCORES_AT_ONCE // excluded.shape[1]))
    for start in range(0, len(queries), step):
        batch = queries[start : start + step]
        for query, scores in zip(batch, score(batch), strict=True):
            scores[excluded.indices[excluded.indptr[query] : excluded.indptr[query + 1]]] = -np.inf
            yield query, scores


def embed(encode: Callable[[Features], tf.Tensor], features: Features, *, batch_size: int) -> Embeddings:
    """Runs a tower over all entities of one side, [n, D].

    Args:
        encode: The tower.
        features: [n] The entities' encoded features.
        batch_size: Entities a batch.

    Raises:
        StageError: If a batch doesn't fit into memory.
    """
    splits = {key: values.row_splits.numpy() for key, values in features.items()}  # copied once, not for each batch
    starts = range(0, len(next(iter(splits.values()))) - 1, batch_size)
    batches = (
        {key: _rows(values.values, splits[key][s : s + batch_size + 1]) for key, values in features.items()}
        for s in starts
    )
    with in_memory(f"embedding {batch_size:,} at a time", remedy="lower evaluate.batch_size"):
        return np.concatenate([encode(batch).numpy() for batch in batches])


def _rows(values: tf.Tensor, splits: NDArray[np.int64]) -> tf.RaggedTensor:
    """The rows between some splits, as indexing gives them: that takes 5 ms or so each time, and this a tenth."""
    with tf.device("CPU:0"):  # where all values lie: elsewhere each slice would take all of them there
        found = values[splits[0] : splits[-1]]
    return tf.RaggedTensor.from_row_splits(found, splits - splits[0], validate=False)


def embedding_scorer(queries: Embeddings, corpus: Embeddings, *, model: str | None = None) -> Scorer:
    """Scores by inner product, of equal embeddings once, so that equal items tie wherever they lie in the corpus.

    Args:
        queries: [Q, D].
        corpus: [N, D].
        model: The directory of the model that they are of, for the error, where it has one.

    Raises:
        Diverged: If an embedding isn't finite.
        StageError: Also from the scorer, if memory is too small.
    """
    within_memory = partial(
        in_memory, f"ranking {len(corpus):,} items", remedy="a lower last number of model.hidden takes less"
    )
    with within_memory():
        check_finite(queries, "query", model=model)
        check_finite(corpus, "item", model=model)
        use_full_float32()  # else scores tie that differ
        distinct, place = _distinct(corpus)
        transposed = _transposed(corpus, distinct)  # once, not for each batch: a third less time or more

    @within_memory()
    def score(batch: Indices) -> NDArray[np.float32]:
        found: NDArray[np.float32] = tf.matmul(queries[batch], transposed).numpy()
        return found if place is None else found[:, place]

    return score


def _distinct(corpus: Embeddings) -> tuple[Indices, Indices | None]:
    """A row of each different embedding, and where among these each item's is; None where all differ.

    A product may add up its last columns in another order than the others, and equal items would not tie: OpenBLAS
    gave them scores that differ in the last bits, by place (measured).
    """
    positive_zeros = np.add(corpus, np.float32(0), order="C")  # -0 becomes 0
    as_bytes = positive_zeros.view(np.dtype((np.void, corpus.dtype.itemsize * corpus.shape[1])))[:, 0]
    # np.unique would copy the embeddings three times.
    order = np.argsort(as_bytes, kind="stable")
    is_first = np.ones(len(order), bool)
    for start in range(1, len(order), _ROWS_AT_ONCE):
        rows = order[start : start + _ROWS_AT_ONCE]
        before = order[start - 1 : start - 1 + len(rows)]
        is_first[start : start + len(rows)] = (corpus[rows] != corpus[before]).any(axis=1)
    if is_first.all():
        return np.arange(len(order)), None
    place = np.empty(len(order), np.int64)
    place[order] = np.cumsum(is_first) - 1
    return order[is_first], place


def _transposed(corpus: Embeddings, rows: Indices) -> tf.Tensor:
    """Some embeddings as columns, where TensorFlow computes."""
    parts = [rows[start : start + _ROWS_AT_ONCE] for start in range(0, len(rows), _ROWS_AT_ONCE)]
    # In parts, of which TensorFlow makes copies to take them over; on the host, so that a GPU holds the whole alone.
    with tf.device("CPU:0"):
        transposed = tf.concat([tf.transpose(corpus[some]) for some in parts], axis=1)
    return tf.identity(transposed)


def check_finite(embeddings: Embeddings, what: str, *, model: str | None = None) -> None:
    """Looks for embeddings of a model that has diverged.

    Args:
        embeddings: [n, D].
        what: `query` or `item`.
        model: As `embedding_scorer`.

    Raises:
        Diverged: If one isn't finite.
    """
    bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if len(bad):
        where = "" if model is None else f"{model}: "
        raise Diverged(
            f"{where}expected finite embeddings, found {len(bad)} {what} embeddings with NaN or infinity: the model's "
            "weights have diverged; train again with a lower train.learning_rate"
        )
