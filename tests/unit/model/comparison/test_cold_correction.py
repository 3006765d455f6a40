"""The bounds of the constant, held to rankings with every constant in turn."""

import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from model.comparison.cold_correction import best_shift, bounds, shifted
from model.ranking import rank_pairs
from model.split_pairs import SplitPairs


def _pairs(queries, items, *, of, excluded):
    return SplitPairs([b"q"] * of, {}, np.array(queries), np.array(items), sp.csr_array(np.array(excluded)))


def test_bounds_and_the_best_constant_by_hand():
    # Items 0 to 3 are warm, 4 and 5 cold. Two are offered; item 1 may not be offered to query 0.
    scores = np.array([[0.9, 0.8, 0.5, 0.1, 0.3, 0.2], [0.4, 0.7, 0.6, 0.0, 0.1, 0.5]])
    cold = np.array([False] * 4 + [True] * 2)
    excluded = [[False, True, False, False, False, False], [False] * 6]
    pairs = _pairs([0, 0, 1, 1], [4, 2, 4, 1], of=2, excluded=excluded)
    found = bounds(pairs, lambda batch: scores[batch].copy(), cold=cold, k=2, batch_size=1)
    # Query 0: item 4 is the best cold one, so it needs to pass the second best warm one, item 2: above 0.2; item 2 has
    # item 0 before it, so it stays as long as no cold one passes it: below 0.2. Query 1: item 4 is the second best cold
    # one, so it must pass the best warm one, above 0.6; item 1 is the best warm one: it stays until two cold ones pass.
    np.testing.assert_allclose(found, [0.2, 0.2, 0.6, 0.6])
    is_cold = cold[pairs.item_index]
    # Whatever the constant, one of each query's two is found; 0 is the smallest.
    assert best_shift(found, is_cold) == 0
    # Without the warm pairs it pays to pass both bounds, without the cold ones to add nothing.
    assert best_shift(found[is_cold], is_cold[is_cold]) > 0.6
    assert best_shift(found[~is_cold], is_cold[~is_cold]) == 0


@given(
    scores=st.lists(st.lists(st.integers(-4, 4), min_size=7, max_size=7), min_size=1, max_size=3),
    cold=st.lists(st.booleans(), min_size=7, max_size=7),
    excluded=st.lists(st.lists(st.sampled_from([False, False, True]), min_size=7, max_size=7), min_size=3, max_size=3),
    k=st.integers(1, 4),
)
@settings(max_examples=100, deadline=None)
def test_a_pair_is_found_where_its_bound_says(scores, cold, excluded, k):
    scores, cold = np.array(scores, float), np.array(cold)
    queries, items = (indices.ravel() for indices in np.indices(scores.shape))
    pairs = _pairs(queries, items, of=len(scores), excluded=excluded[: len(scores)])
    score = lambda batch: scores[batch].copy()  # noqa: E731
    found = bounds(pairs, score, cold=cold, k=k, batch_size=2)
    is_cold = cold[items]
    hits = {}
    for shift in np.arange(-9.5, 10):
        ranked = rank_pairs(pairs, shifted(score, cold, shift), batch_size=2)
        expected = np.where(is_cold, found < shift, found > shift)
        np.testing.assert_array_equal(ranked.last_rank <= k, expected)
        hits[shift] = np.count_nonzero(expected)
    best = best_shift(found, is_cold)
    # Between whole numbers any constant is as good as the one halfway; at one, ties count against the pairs.
    ranked = rank_pairs(pairs, shifted(score, cold, best), batch_size=2)
    assert np.count_nonzero(ranked.last_rank <= k) >= max(hits.values())
