"""The bounds of the constant, held to rankings with every constant in turn."""

from unittest import mock

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from model.comparison.cold_correction import bounds, largest_shift, shifted
from model.ranking import ranking
from model.ranking.ranking import rank_pairs
from model.ranking.split_pairs import SplitPairs


def _pairs(queries, items, *, of, excluded):
    return SplitPairs([b"q"] * of, {}, np.array(queries), np.array(items), sp.csr_array(np.array(excluded)))


def _free(found, is_cold):
    return largest_shift(found, is_cold, price=0)


def test_the_price_is_a_share_of_what_is_found():
    # Of 50 warm pairs one is lost above 0.1, one above 0.2, a third above 0.3; a cold one is found above 0.25.
    found = np.array([0.1, 0.2, 0.3, *[np.inf] * 47, 0.25])
    is_cold = np.array([False] * 50 + [True])
    assert largest_shift(found, is_cold, price=0) == pytest.approx(0.05)
    # 2% is one pair: between 0.25 and 0.3 two are lost and one is found.
    assert largest_shift(found, is_cold, price=0.02) == pytest.approx(0.275)
    assert largest_shift(found, is_cold, price=0.019) == pytest.approx(0.05)


def test_bounds_and_the_constant_by_hand(monkeypatch):
    monkeypatch.setattr(ranking, "QUERIES_AT_ONCE", 1)
    # Items 0 to 3 are warm, 4 and 5 cold. Two are offered; item 1 may not be offered to query 0.
    scores = np.array([[0.9, 0.8, 0.5, 0.1, 0.3, 0.2], [0.4, 0.7, 0.6, 0.0, 0.1, 0.5]])
    cold = np.array([False] * 4 + [True] * 2)
    excluded = [[False, True, False, False, False, False], [False] * 6]
    pairs = _pairs([0, 0, 1, 1], [4, 2, 4, 1], of=2, excluded=excluded)
    found = bounds(pairs, lambda batch: scores[batch].copy(), cold=cold, k=2)
    # Query 0: item 4 is the best cold one, so it needs to pass the second best warm one, item 2: above 0.2; item 2 has
    # item 0 before it, so it stays as long as no cold one passes it: below 0.2. Query 1: item 4 is the second best cold
    # one, so it must pass the best warm one, above 0.6; item 1 is the best warm one: it stays until two cold ones pass.
    np.testing.assert_allclose(found, [0.2, 0.2, 0.6, 0.6])
    is_cold = cold[pairs.item_index]
    # Whatever the constant, one of each query's two is found: above both bounds, those of the cold items, by 1.
    assert _free(found, is_cold) == pytest.approx(1.6)
    # Another warm pair that is lost at 0.5 makes that too much: between 0.2 and 0.5 nothing is lost, nor found.
    assert _free(np.array([*found, 0.5]), np.array([*is_cold, False])) == pytest.approx(0.35)
    # Without the cold pairs anything above 0.2 costs a pair, and without the warm ones nothing does.
    assert _free(found[~is_cold], is_cold[~is_cold]) == pytest.approx(0.1)
    assert _free(found[is_cold], is_cold[is_cold]) == pytest.approx(1.6)
    # Below 0 one would find two pairs more; none is taken that is.
    assert _free(np.array([-0.5, -0.5, 0.1]), np.array([False, False, False])) == pytest.approx(0.05)
    assert _free(np.array([np.inf, -np.inf]), np.array([True, False])) == 0


@mock.patch.object(ranking, "QUERIES_AT_ONCE", 2)
@given(
    scores=st.lists(st.lists(st.integers(-4, 4), min_size=7, max_size=7), min_size=1, max_size=3),
    cold=st.lists(st.booleans(), min_size=7, max_size=7),
    excluded=st.lists(st.lists(st.sampled_from([False, False, True]), min_size=7, max_size=7), min_size=3, max_size=3),
    k=st.integers(1, 8),  # of 7 items
)
@settings(max_examples=100, deadline=None)
def test_a_pair_is_found_where_its_bound_says(scores, cold, excluded, k):
    scores, cold = np.array(scores, float), np.array(cold)
    queries, items = (indices.ravel() for indices in np.indices(scores.shape))
    pairs = _pairs(queries, items, of=len(scores), excluded=excluded[: len(scores)])
    score = lambda batch: scores[batch].copy()  # noqa: E731
    found = bounds(pairs, score, cold=cold, k=k)
    is_cold = cold[items]
    hits = {}
    for shift in np.arange(-9.5, 10):
        ranked = rank_pairs(pairs, shifted(score, cold, shift=shift))
        expected = np.where(is_cold, found < shift, found > shift)
        np.testing.assert_array_equal(ranked.last_rank <= k, expected)
        hits[shift] = np.count_nonzero(expected)
    free = _free(found, is_cold)
    before, after = (rank_pairs(pairs, shifted(score, cold, shift=shift)).last_rank <= k for shift in (0, free))
    assert np.count_nonzero(after) >= np.count_nonzero(before)
    # Up to the next bound any constant is as good; beyond it all cost something.
    end = np.min(found[np.isfinite(found) & (found > free)], initial=np.inf)
    assert all(count < np.count_nonzero(before) for shift, count in hits.items() if shift > end)
