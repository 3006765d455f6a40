import math
from random import Random

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.ranking.metrics import RankedSplit, by_slice, metrics, recall

MEASURES = {
    "map@10": ir_measures.AP @ 10,
    "map@50": ir_measures.AP @ 50,
    "ndcg@10": ir_measures.nDCG @ 10,
    "mrr": ir_measures.RR,
}


def ranked(*pairs: tuple[int, int, float]) -> RankedSplit:
    query, item, last_rank = zip(*pairs, strict=True) if pairs else ((), (), ())
    return RankedSplit(
        np.array(query, dtype=np.int64), np.array(item, dtype=np.int64), np.array(last_rank, dtype=float)
    )


def test_two_queries_by_hand() -> None:
    # Query 0 has its two items at ranks 1 and 4, query 1 its only one at rank 20.
    found = metrics(ranked((0, 7, 4.0), (1, 8, 20.0), (0, 9, 1.0)))

    assert found["pairs"] == 3
    assert found["queries"] == 2
    assert found["recall@10"] == pytest.approx(2 / 3)
    assert found["recall@50"] == 1.0
    assert found["map@10"] == pytest.approx(((1 / 1 + 2 / 4) / 2 + 0) / 2)
    assert found["map@50"] == pytest.approx(((1 / 1 + 2 / 4) / 2 + 1 / 20) / 2)
    gain = 1 / math.log2(2) + 1 / math.log2(5)
    ideal = 1 / math.log2(2) + 1 / math.log2(3)
    assert found["ndcg@10"] == pytest.approx((gain / ideal + 0) / 2)
    assert found["mrr"] == pytest.approx((1 / 1 + 1 / 20) / 2)


def test_average_precision_is_divided_by_all_relevant_items() -> None:
    # 20 relevant items, all at the top: only ten of them fit into the top ten.
    found = metrics(ranked(*((0, item, item + 1.0) for item in range(20))))
    assert found["map@10"] == pytest.approx(0.5)
    assert found["ndcg@10"] == pytest.approx(1.0)
    assert found["recall@10"] == pytest.approx(0.5)


def test_the_last_place_of_each_cut_off_counts_and_the_next_one_does_not() -> None:
    found = metrics(ranked((0, 1, 10.0), (1, 1, 11.0), (2, 1, 50.0), (3, 1, 51.0)))
    assert (found["recall@10"], found["recall@50"]) == (0.25, 0.75)
    assert found["map@10"] == pytest.approx(1 / 10 / 4)
    assert found["map@50"] == pytest.approx((1 / 10 + 1 / 11 + 1 / 50) / 4)
    assert found["ndcg@10"] == pytest.approx(1 / math.log2(11) / 4)


def test_relevant_items_that_tie_take_the_last_places_one_each() -> None:
    # Eleven candidates score the same, two of them relevant: they end at ranks 10 and 11.
    tied = ranked((0, 1, 11.0), (0, 2, 11.0))
    assert recall(tied, k=10) == 0.5
    assert recall(tied, k=9) == 0.0
    assert metrics(tied)["mrr"] == pytest.approx(1 / 10)


def test_equal_last_ranks_of_different_queries_are_no_tie() -> None:
    assert recall(ranked((0, 1, 11.0), (1, 1, 11.0)), k=10) == 0.0


def test_in_a_slice_a_tied_item_of_another_slice_is_not_relevant() -> None:
    tied = ranked((0, 1, 11.0), (0, 2, 11.0))
    both = np.array([True, True, True])
    one = np.array([False, True, False])
    found = by_slice(tied, {"overall": both, "one": one})
    assert found["overall"]["recall@10"] == 0.5
    assert found["one"]["pairs"] == 1
    assert found["one"]["recall@10"] == 0.0


def test_an_item_that_is_no_candidate_is_missed_but_counted() -> None:
    found = metrics(ranked((0, 1, math.inf), (0, 2, 1.0), (1, 1, math.inf), (1, 3, math.inf)))
    assert found["pairs"] == 4
    assert found["queries"] == 2
    assert found["recall@50"] == 0.25
    assert found["map@50"] == pytest.approx((1 / 2 + 0) / 2)
    assert found["mrr"] == 0.5


def test_a_mean_over_nothing_is_none() -> None:
    found = metrics(ranked())
    assert found.pop("pairs") == 0
    assert found.pop("queries") == 0
    assert set(found.values()) == {None}


@st.composite
def rankings(draw: st.DrawFn) -> list[tuple[list[int], set[int]]]:
    """For each query its candidates' scores, few enough values to tie, and its relevant candidates."""
    queries = []
    for _ in range(draw(st.integers(1, 4))):
        scores = draw(st.lists(st.integers(0, draw(st.sampled_from([2, 30]))), min_size=1, max_size=70))
        places = st.integers(0, len(scores) - 1)
        queries.append((scores, draw(st.sets(places, min_size=1, max_size=15))))
    return queries


@given(rankings())
@settings(max_examples=150, deadline=None)
def test_equal_to_ir_measures(queries: list[tuple[list[int], set[int]]]) -> None:
    pairs = [
        (query, item, float(sum(score >= scores[item] for score in scores)))
        for query, (scores, relevant) in enumerate(queries)
        for item in relevant
    ]
    found = metrics(ranked(*pairs))

    judged = [ir_measures.Qrel(str(q), str(item), 1) for q, (_, relevant) in enumerate(queries) for item in relevant]
    run, hits = [], {10: 0, 50: 0}
    for query, (scores, relevant) in enumerate(queries):
        against_us = sorted(range(len(scores)), key=lambda item: (-scores[item], item in relevant))
        for place, item in enumerate(against_us):
            run.append(ir_measures.ScoredDoc(str(query), str(item), float(-place)))
            for k in hits:
                hits[k] += place < k and item in relevant
    expected = ir_measures.calc_aggregate(list(MEASURES.values()), judged, run)

    assert {name: found[name] for name in MEASURES} == pytest.approx({n: expected[m] for n, m in MEASURES.items()})
    assert found["recall@10"] == pytest.approx(hits[10] / len(pairs))
    assert found["recall@50"] == pytest.approx(hits[50] / len(pairs))


@given(rankings(), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_order_of_the_pairs_does_not_matter(queries: list[tuple[list[int], set[int]]], source: Random) -> None:
    pairs = [
        (query, item, float(sum(score >= scores[item] for score in scores)))
        for query, (scores, relevant) in enumerate(queries)
        for item in sorted(relevant)
    ]
    shuffled = source.sample(pairs, len(pairs))
    assert metrics(ranked(*shuffled)) == pytest.approx(metrics(ranked(*pairs)))
