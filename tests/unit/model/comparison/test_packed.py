import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.comparison.packed import pack_flags, pack_numbers, unpack_flags, unpack_numbers
from model.comparison.split_shape import SplitShape, cold_part, pack_last_ranks, pack_shape, unpack_ranked, unpack_shape
from model.comparison.studies import Ranking
from model.ranking.metrics import NAMES, RankedSplit, metrics
from stage.errors import StageError

SLICES = ("overall", "head", "tail", "cold", "new_queries")


@given(st.lists(st.integers(0, 65_535)))
def test_numbers_come_back(values: list[int]) -> None:
    assert unpack_numbers(pack_numbers(np.array(values, np.int64))).tolist() == values


@given(st.lists(st.booleans()))
def test_flags_come_back(values: list[bool]) -> None:
    assert unpack_flags(pack_flags(np.array(values, bool)), count=len(values)).tolist() == values


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 65,535, got -1 to 3"):
        pack_numbers(np.array([3, -1]))
    with pytest.raises(ValueError, match="from 0 to 65,535, got 3 to 65536"):
        pack_numbers(np.array([65_536, 3]))
    with pytest.raises(StageError, match="expected 9 packed flags, found 1 bytes"):
        unpack_flags(pack_flags(np.ones(8, bool)), count=9)
    with pytest.raises(StageError, match="expected packed numbers"):
        unpack_numbers(pack_numbers(np.arange(100))[:20])


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 9), min_size=60, max_size=60), st.sets(st.integers(0, 59), min_size=1)),
        min_size=1,
        max_size=3,
    )
)
@settings(max_examples=60, deadline=None)
def test_metrics_up_to_50_survive_the_store(queries: list[tuple[list[int], set[int]]]) -> None:
    """Ranks are stored before ties are resolved, so they come out the same in any slice."""
    rows = [
        (query, float(sum(score >= scores[item] for score in scores)))
        for query, (scores, relevant) in enumerate(queries)
        for item in sorted(relevant)
    ]
    query, last_rank = (np.array(column) for column in zip(*rows, strict=True))
    some = np.arange(len(query)) % 2 == 0
    slices = {"overall": np.ones(len(query), bool), "head": some, "tail": ~some, "cold": some & ~some}
    shape = SplitShape(query, slices | {"new_queries": query == 0})
    ranked = RankedSplit(query, np.arange(len(query)), last_rank)
    stored = Ranking(metrics={}, top_50="", last_ranks=pack_last_ranks(ranked))

    again = unpack_shape(pack_shape(shape), source="test")
    found = unpack_ranked(stored.last_ranks, again, source="test")
    assert again.slices.keys() == shape.slices.keys()
    for name in shape.slices:
        expected, of_store = (metrics(r.of_items(s.slices[name])) for r, s in ((ranked, shape), (found, again)))
        for metric in ("pairs", "queries", *(n for n in NAMES if n != "mrr")):
            assert of_store[metric] == expected[metric]


def test_no_rank_is_stored_that_cannot_count_among_the_first_50() -> None:
    # Of two pairs of a query that tie at 51 one is fiftieth.
    ranked = RankedSplit(np.array([0, 1, 2, 2, 3, 3]), np.arange(6), np.array([50.0, 51, 51, 51, 52, np.inf]))
    assert unpack_numbers(pack_last_ranks(ranked)).tolist() == [50, 0, 51, 51, 0, 0]


def test_a_query_with_more_pairs_than_ranks_can_be_kept_of_is_refused_by_its_shape() -> None:
    # Of 65,486 that tie, all beyond 49 others, each may have rank 65,535.
    query = np.zeros(65_486, np.int64)
    shape = SplitShape(query, {name: np.ones(65_486, bool) for name in SLICES})
    pack_shape(shape)
    ranks = pack_last_ranks(RankedSplit(query, np.arange(65_486), np.full(65_486, 65_535.0)))
    assert unpack_numbers(ranks).max() == 65_535
    one_more = SplitShape(np.zeros(65_487, np.int64), {name: np.ones(65_487, bool) for name in SLICES})
    with pytest.raises(
        StageError, match=r"at most 65,486 pairs of a query .*, got 65,487; lower split\.validation and"
    ):
        pack_shape(one_more)


def test_users_survive_the_store() -> None:
    every = {name: np.ones(5, bool) for name in SLICES if name != "cold"}
    cold = np.array([True, False, False, False, True])
    shape = SplitShape(np.arange(5), every | {"cold": cold}, users=np.array([0, 0, 1, 2, 2]))
    again = unpack_shape(pack_shape(shape), source="test")
    assert again.user_index().tolist() == [0, 0, 1, 2, 2]
    assert cold_part(again).user_index().tolist() == [0, 2]
    assert unpack_shape(pack_shape(SplitShape(np.arange(5), shape.slices)), source="test").users is None


def test_a_user_of_more_pairs_than_can_be_kept_is_refused() -> None:
    slices = {name: np.ones(65_487, bool) for name in SLICES}
    with pytest.raises(StageError, match=r"at most 65,486 pairs of a user .*, got 65,487; .* leave the user out"):
        pack_shape(SplitShape(np.arange(65_487), slices, users=np.zeros(65_487, np.int64)))


def test_a_shape_that_is_not_whole_is_named_and_refused() -> None:
    shape = SplitShape(np.array([0, 0, 1]), {name: np.ones(3, bool) for name in SLICES})
    packed = pack_shape(shape)
    with pytest.raises(StageError, match=r"^x\.json: not the pairs of a split: expected 4 pairs, found 3"):
        unpack_shape(packed.model_copy(update={"pairs": 4}), source="x.json")
    with pytest.raises(StageError, match=r"^x\.json: not the pairs"):
        unpack_shape(packed.model_copy(update={"slices": {}}), source="x.json")
    with pytest.raises(StageError, match=r"^x\.json: .*expected 2 queries of users, found 3"):
        unpack_shape(packed.model_copy(update={"queries_per_user": pack_numbers(np.array([1, 2]))}), source="x.json")
    with pytest.raises(StageError, match="expected the ranks of 3 pairs, found 0"):
        unpack_ranked(None, shape, source="x.json")
