"""Verdicts on rankings made by hand."""

import numpy as np
import pytest

from features.spec.gate import Gate
from model.ranking.metrics import RankedSplit
from model.ranking.verdict import decide

SLICES = {"overall": np.ones(2, dtype=bool), "tail": np.array([False, True])}


def ranking(hits, *, queries=400):
    """One pair a query: item 0 of even ones, item 1, the tail's, of odd ones. Those of `hits` have it at rank 50."""
    order = np.arange(queries)
    return RankedSplit(order, order % 2, np.where(np.isin(order, hits), 50.0, 51.0))


def verdict(challenger, champion, *, queries=400, **gate):
    both = [None if hits is None else ranking(hits, queries=queries) for hits in (challenger, champion)]
    return decide(*both, slices=SLICES, users=np.arange(queries), gate=Gate(**gate))


def findings(found):
    return found.slices["overall"].finding, found.slices["tail"].finding


@pytest.mark.parametrize(
    ("challenger", "champion", "margin", "expected", "outcome"),
    [
        # 140 hits against 100 of 400. Over queries the difference has a standard error of sqrt(0.1 * 0.9 / 400) =
        # 0.015, among the 200 of the tail of 0.021: intervals of 0.1 +- 0.03 and 0.1 +- 0.04.
        (range(140), range(100), 0.1, ("better", "better"), "replaces"),
        # The same the other way: the difference may be more than the margin, though it may be less.
        (range(100), range(140), 0.1, ("worse", "worse"), "worse"),
        (range(100), range(140), 0.18, ("within_margin", "within_margin"), "replaces"),
        # Surely worse, though the interval is wider than the margin.
        (range(100), range(140), 0.04, ("worse", "worse"), "worse"),
        # As surely better: but whoever asks for so narrow a margin needs more queries.
        (range(140), range(100), 0.04, ("too_little_data", "too_little_data"), "too_little_data"),
        # A hit less, of an item that isn't tail, and one more: the interval begins at 0.
        (range(1, 100), range(100), 0.02, ("within_margin", "within_margin"), "replaces"),
        (range(100), range(1, 100), 0.02, ("within_margin", "within_margin"), "replaces"),
        # Worse by exactly the margin, which isn't more than it.
        ([], range(400), 1, ("within_margin", "within_margin"), "replaces"),
        # Alike, which of 200 of the tail says that no more than 3 / 200 differ.
        (range(100), range(100), 0.015, ("within_margin", "within_margin"), "replaces"),
        (range(100), range(100), 0.014, ("within_margin", "too_little_data"), "too_little_data"),
        # Of the tail alone: 30 hits less of 200, and as many more elsewhere.
        (range(0, 260, 2), [*range(0, 200, 2), *range(1, 60, 2)], 0.12, ("within_margin", "worse"), "worse"),
        # 100 hits less elsewhere, 50 more of the tail, where that is too few to tell: what is surely worse goes first.
        (range(1, 100, 2), range(0, 200, 2), 0.04, ("worse", "too_little_data"), "worse"),
    ],
)
def test_of_two_models(challenger, champion, margin, expected, outcome):
    found = verdict(list(challenger), list(champion), margin=margin, tail_margin=margin)
    assert (findings(found), found.outcome) == (expected, outcome)
    assert found.passes == (outcome == "replaces")


def test_margins_are_of_their_slices():
    hits = list(range(100)), list(range(140))
    assert findings(verdict(*hits, margin=0.18, tail_margin=0.1)) == ("within_margin", "worse")
    assert findings(verdict(*hits, margin=0.1, tail_margin=0.18)) == ("worse", "within_margin")


def test_few_queries_are_too_little_data():
    # One hit lost and one won, of ten.
    found = verdict([0, 1, 2, 3, 4], [1, 2, 3, 4, 5], queries=10, margin=0.1, tail_margin=0.1)
    assert (found.outcome, found.slices["overall"].difference.value) == ("too_little_data", 0)
    assert found.slices["overall"].difference.high > 0.1
    # One won of three, in all and of the tail: from 0 to 1, as wide as the margin may be.
    assert verdict([0, 1], [], queries=6, margin=1, tail_margin=1).outcome == "replaces"
    # Of two nobody can tell.
    assert verdict([0, 1], [], queries=4, margin=1, tail_margin=1).outcome == "too_little_data"


@pytest.mark.parametrize(("margin", "needed"), [(0.05, 60), (0.02, 150), (0.08, 38), (0.1, 30)])
def test_a_tail_of_few_users_says_nothing_even_where_both_models_rank_it_alike(margin, needed):
    # All resamples of what no user differs in are alike, so the interval has no width, however few there are.
    for users in (needed - 1, needed):
        # A user has one pair of the head, or three of the tail.
        whose = np.concatenate([np.arange(200), np.repeat(200 + np.arange(users), 3)])
        items = np.repeat([0, 1], [200, 3 * users])
        alike = RankedSplit(np.arange(len(whose)), items, np.full(len(whose), 51.0))
        found = decide(alike, alike, slices=SLICES, users=whose, gate=Gate(tail_margin=margin))
        assert (found.slices["tail"].difference.low, found.slices["tail"].difference.high) == (0, 0)
        assert (found.slices["tail"].users, found.slices["tail"].needed) == (users, needed)
        assert found.slices["overall"].users == 200 + users
        expected = "replaces" if users == needed else "too_little_data"
        assert (found.outcome, found.slices["overall"].finding) == (expected, "within_margin")
    # What is surely worse goes first.
    worse = RankedSplit(alike.query_index, items, np.where(items == 0, 51.0, 50.0))
    few = np.r_[:200, 200:206]
    both = (RankedSplit(few, r.item_index[few], r.last_rank[few]) for r in (alike, worse))
    assert decide(*both, slices=SLICES, users=whose[: few[-1] + 1], gate=Gate()).outcome == "worse"


def test_one_users_examples_are_drawn_together():
    # 40 users of 1 to 19 examples; a model finds all of a user's or none, so there is no more to know than of 40.
    draws = np.random.default_rng(3)
    sizes = draws.integers(1, 20, 40)
    users = draws.permutation(np.repeat(np.arange(40), sizes))
    queries = len(users)
    found_by = {"new": draws.random(40) < 0.6, "old": draws.random(40) < 0.5}
    new, old = (ranking(np.flatnonzero(found[users]), queries=queries) for found in found_by.values())
    found = decide(new, old, slices=SLICES, users=users, gate=Gate(margin=0.4, tail_margin=0.4))
    apart = decide(new, old, slices=SLICES, users=np.arange(queries), gate=Gate(margin=0.4, tail_margin=0.4))

    gained = sizes * (found_by["new"] * 1.0 - found_by["old"] * 1.0)
    resamples = []
    for _ in range(4000):
        drawn = draws.integers(40, size=40)
        resamples.append(sum(gained[drawn]) / sum(sizes[drawn]))
    difference = found.slices["overall"].difference
    assert difference.value == pytest.approx(gained.sum() / queries)
    assert (difference.low, difference.high) == pytest.approx(tuple(np.quantile(resamples, [0.025, 0.975])), abs=0.03)
    assert difference.value == apart.slices["overall"].difference.value
    assert (found.outcome, apart.outcome) == ("too_little_data", "replaces")


def test_the_values_are_recalls():
    found = verdict(list(range(140)), list(range(100)), margin=0.1, tail_margin=0.1).slices["tail"]
    assert (found.challenger, found.champion, found.bound) == (70 / 200, 50 / 200, 0.1)
    assert found.difference.value == pytest.approx(0.1)
    assert found.difference.low == pytest.approx(0.1 - 1.96 * 0.0212, abs=0.006)
    assert found.difference.high == pytest.approx(0.1 + 1.96 * 0.0212, abs=0.006)


def test_a_first_model_is_held_to_the_floors(monkeypatch):
    monkeypatch.setattr("model.ranking.verdict.Bootstrap", lambda _: pytest.fail("resamples were drawn"))
    hits = list(range(40))
    found = verdict(hits, None, floor=0.1, tail_floor=0.1)
    assert (findings(found), found.outcome, found.passes) == (("above_floor", "above_floor"), "first_model", True)
    found = verdict(hits, None, floor=0.1, tail_floor=0.11)
    assert (findings(found), found.outcome, found.passes) == (("above_floor", "below_floor"), "below_floor", False)
    assert verdict(hits, None, floor=0.11, tail_floor=0).outcome == "below_floor"


def test_a_tail_without_pairs_says_nothing():
    pairs = RankedSplit(np.arange(4), np.zeros(4, dtype=np.int64), np.ones(4))
    for champion in (pairs, None):
        found = decide(pairs, champion, slices=SLICES, users=np.arange(4), gate=Gate(margin=0.8))
        assert (found.outcome, found.slices["tail"].challenger) == ("too_little_data", None)
        assert (found.slices["tail"].users, found.slices["tail"].needed) == (0, 1 if champion is None else 60)
    # What is surely bad goes first.
    bad = RankedSplit(pairs.query_index, pairs.item_index, np.full(4, 51.0))
    assert decide(bad, None, slices=SLICES, users=np.arange(4), gate=Gate()).outcome == "below_floor"


def test_a_tail_of_one_pair_has_no_interval():
    found = verdict([0, 1], [1], queries=2, margin=1, tail_margin=1).slices["tail"]
    assert (found.challenger, found.champion, found.finding) == (1, 1, "too_little_data")
    assert (found.difference.value, found.difference.low, found.difference.high) == (0, None, None)
