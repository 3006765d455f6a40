import numpy as np
import pytest
import scipy.stats
from peak_memory import with_peak

from model.ranking.bootstrap import Bootstrap, Estimate, Sampled, SeedTerms, seed_terms
from model.ranking.metrics import RankedSplit


def _terms(numerators, denominators):
    """Of one seed, or of each if there are rows."""
    return SeedTerms(np.atleast_2d(np.array(numerators, dtype=float)), np.array(denominators, dtype=float))


class _Drawn(Bootstrap):
    """Resamples given by hand: how often each query is drawn."""

    def __init__(self, weights):
        self._weights = np.array(weights, dtype=np.uint16)


def test_resamples_by_hand() -> None:
    # Query 0 has 1 hit of 2 pairs, query 1 has 3 of 4: 4/6. Drawn (2, 0), (1, 1), (0, 2): 1/2, 4/6, 3/4.
    found = _Drawn([[2, 0], [1, 1], [0, 2]]).sample({"recall": _terms([1, 3], [2, 4])})["recall"]
    assert found.value == pytest.approx(4 / 6)
    np.testing.assert_allclose(found.resamples, [1 / 2, 4 / 6, 3 / 4])


@pytest.mark.parametrize(
    ("numerators", "sums"),
    [
        ([1, 3], [2, 4, 6]),
        ([1 / 3, 1], [2 / 3, 4 / 3, 2]),  # float32 would say 0.6666667
        ([2**24, 1], [2**25, 2**24 + 1, 2]),  # and 2**24
        ([-(2**24), -1], [-(2**25), -(2**24) - 1, -2]),
    ],
)
def test_sums_are_those_of_float64(numerators: list[float], sums: list[float]) -> None:
    columns = np.array([numerators, [0, 1]])
    found = _Drawn([[2, 0], [1, 1], [0, 2]])._sums(columns)
    np.testing.assert_array_equal(found, np.array([sums, [0, 1, 2]]).T)


def test_what_is_sampled_beside_others_is_what_it_is_alone() -> None:
    draws = np.random.default_rng(6)
    pairs = draws.integers(1, 6, 100)
    terms = {name: _terms(draws.binomial(pairs, 0.3, (3, 100)), pairs) for name in ("ours", "plain", "cfm")}
    terms["cold"] = _terms(terms["ours"].numerators[:1], pairs - 1)
    bootstrap = Bootstrap(100, resamples=70)
    together = bootstrap.sample(terms)
    for name, term in terms.items():
        alone = bootstrap.sample({name: term})[name]
        np.testing.assert_array_equal(together[name].resamples, alone.resamples)
        np.testing.assert_array_equal(together[name].of_seeds_too, alone.of_seeds_too)


@pytest.mark.parametrize(("queries", "resamples"), [(1, 3), (50, 64), (300, 130)])
def test_the_draws_are_those_of_all_resamples_at_once(queries, resamples) -> None:
    drawn = Bootstrap(queries, resamples=resamples)._weights
    at_once = np.random.default_rng(0).integers(queries, size=(resamples, queries))
    np.testing.assert_array_equal(drawn, [np.bincount(one, minlength=queries) for one in at_once])
    assert drawn.dtype == np.uint16


def test_drawing_takes_little_more_memory_than_the_draws() -> None:
    _, peak = with_peak(lambda: Bootstrap(10_000, resamples=400))
    # 400 resamples in 2 bytes, and of 64 twice in 8; all of them in 8 would be 32 MB, twice 64 MB.
    assert peak < 1.1 * (400 * 2 + 2 * 64 * 8) * 10_000


@pytest.mark.parametrize("most_kept", [130 * 300 - 1, 1])
def test_what_is_too_much_to_keep_is_drawn_anew_the_same(most_kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    terms = {"recall": _terms(np.arange(300) % 3, np.full(300, 3))}
    kept = Bootstrap(300, resamples=130).sample(terms)["recall"].resamples
    monkeypatch.setattr("model.ranking.bootstrap._MOST_KEPT", most_kept)
    anew = Bootstrap(300, resamples=130)
    assert anew._weights is None
    for _ in range(2):
        np.testing.assert_allclose(anew.sample(terms)["recall"].resamples, kept, rtol=1e-12)


def test_what_is_drawn_anew_takes_no_more_memory_the_more_queries_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.ranking.bootstrap._MOST_KEPT", 64 * 1000)
    terms = {"recall": _terms(np.ones(20_000), np.ones(20_000))}
    _, peak = with_peak(lambda: Bootstrap(20_000, resamples=64).sample(terms))
    # Parts of 64,000 weights in 8 bytes, a few of them, and the terms; all 64 resamples at once would be 10 MB.
    assert peak < 4e6


def test_gains_are_paired() -> None:
    drawn = _Drawn([[2, 0], [1, 1], [0, 2]])
    found = drawn.sample({"ours": _terms([2, 3], [2, 4]), "plain": _terms([1, 3], [2, 4])})
    gain = found["ours"].gain_over(found["plain"])
    # In all 5/6 over 4/6; by resample 1 over 1/2, 5/6 over 4/6, 3/4 over 3/4.
    assert gain.value == pytest.approx(0.25)
    resampled = [1.0, 0.25, 0.0]
    assert (gain.low, gain.high) == pytest.approx(tuple(np.quantile(resampled, [0.025, 0.975])))


def test_seeds_are_drawn_beside_queries() -> None:
    # Two queries of 4 pairs each, two seeds that find 1 and 3 of each: whatever queries are drawn, a seed alone has 1/4
    # or 3/4, both together 1/2.
    one_draw = np.tile([[1, 1]], (8000, 1))
    found = _Drawn(one_draw).sample({"recall": _terms([[1, 1], [3, 3]], [4, 4])})["recall"]
    assert found.value == 0.5
    assert set(found.resamples) == {0.5}
    # Student's t of one degree of freedom is below -1 and above 1 a quarter of the time; the standard error is 1/4.
    np.testing.assert_allclose(np.quantile(found.of_seeds_too, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.015)
    assert found.of_seeds_too.min() == 0
    # Another model with the same seeds meets the same of them.
    other = _Drawn(one_draw).sample({"recall": _terms([[2, 2], [6, 6]], [8, 8])})["recall"]
    gain = other.gain_over(found, seeds_too=True)
    assert (gain.value, gain.low, gain.high) == (0, 0, 0)


def test_the_interval_over_seeds_is_student_s() -> None:
    hits = np.array([[20], [22], [25], [21], [27]])
    found = _Drawn(np.ones((20_000, 2))).sample({"recall": _terms(hits * [0.4, 0.6], [40, 60])})["recall"]
    expected = scipy.stats.ttest_1samp(hits[:, 0] / 100, 0).confidence_interval(0.95)
    low, high = np.quantile(found.of_seeds_too, [0.025, 0.975])
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.002)


def test_of_a_single_query_there_is_a_value_and_no_interval() -> None:
    terms = {"one": _terms([[3, 0], [1, 0]], [4, 0]), "other": _terms([[1, 0], [1, 0]], [4, 0])}
    found = Bootstrap(2).sample(terms)
    assert found["one"].estimate() == Estimate(0.5, None, None)
    for seeds_too in (False, True):
        assert found["one"].gain_over(found["other"], seeds_too=seeds_too) == Estimate(1.0, None, None)
    assert found["one"].difference_from(found["other"]) == Estimate(0.25, None, None)


def test_a_gain_that_hangs_on_seeds_is_none_once_they_are_drawn() -> None:
    drawn = _Drawn(np.tile([[1, 1]], (2000, 1)))
    found = drawn.sample({"ours": _terms([[4, 4], [1, 1]], [4, 4]), "plain": _terms([[2, 2], [2, 2]], [4, 4])})
    assert found["ours"].gain_over(found["plain"]).low == 0.25
    wide = found["ours"].gain_over(found["plain"], seeds_too=True)
    assert wide.value == 0.25
    assert wide.low == -1  # of two seeds anything may be
    assert wide.high > 5


def test_of_five_seeds_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Of 250 pairs of models whose seeds differ more than their queries, 95% of the intervals hold the true gain."""
    draws = np.random.default_rng(5)
    bootstrap = Bootstrap(20)
    pairs = np.full(20, 1000.0)
    covered = 0
    for _ in range(250):
        # How good each seed's model is, on all queries alike.
        plain, ours = (draws.normal(mean, 0.03, (5, 1)) * pairs for mean in (0.5, 0.6))
        found = bootstrap.sample({"ours": SeedTerms(ours, pairs), "plain": SeedTerms(plain, pairs)})
        gain = found["ours"].gain_over(found["plain"], seeds_too=True)
        covered += gain.low <= 0.2 <= gain.high
    assert 0.92 <= covered / 250 <= 0.98


def test_a_gain_over_what_may_find_nothing_has_no_upper_end() -> None:
    drawn = _Drawn([[2, 0], [1, 1], [0, 2]])
    found = drawn.sample({"ours": _terms([1, 1], [2, 2]), "plain": _terms([1, 0], [2, 2])})
    gain = found["ours"].gain_over(found["plain"])
    # Over 1/2, 1/4 and 0.
    assert (gain.value, gain.high) == (1.0, None)
    assert gain.low == pytest.approx(0.05)


def test_with_one_seed_only_queries_are_drawn() -> None:
    found = Bootstrap(3).sample({"recall": _terms([1, 0, 2], [2, 1, 2])})["recall"]
    np.testing.assert_array_equal(found.of_seeds_too, found.resamples)


def test_a_model_gains_nothing_over_itself_for_certain() -> None:
    draws = np.random.default_rng(1)
    terms = {"recall": _terms(draws.integers(0, 3, 50), np.full(50, 3))}
    found = Bootstrap(50).sample(terms)["recall"]
    gain = found.gain_over(found)
    assert (gain.value, gain.low, gain.high) == (0, 0, 0)


def test_nothing_is_said_of_a_gain_over_zero_or_of_a_slice_without_pairs() -> None:
    found = Bootstrap(2).sample(
        {"ours": _terms([1, 1], [1, 1]), "none": _terms([0, 0], [1, 1]), "no": _terms([0, 0], [0, 0])}
    )
    assert found["ours"].gain_over(found["none"]).value is None
    assert found["no"].estimate().value is None
    assert found["no"].estimate().low is None


def test_resamples_without_a_pair_are_left_out() -> None:
    # Only queries 1 and 2 have a pair in the slice.
    found = _Drawn([[3, 0, 0], [1, 1, 1]]).sample({"cold": _terms([0, 1, 1], [0, 1, 1])})["cold"]
    assert np.isnan(found.resamples[0])
    assert (found.estimate().low, found.estimate().high) == (1, 1)


def test_agrees_with_scipy() -> None:
    draws = np.random.default_rng(2)
    pairs = draws.integers(1, 6, 400)
    hits = draws.binomial(pairs, 0.3)
    found = Bootstrap(400, resamples=4000).sample({"recall": _terms(hits, pairs)})["recall"].estimate()
    expected = scipy.stats.bootstrap(
        (hits, pairs),
        lambda h, p, axis: h.sum(axis=axis) / p.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=4000,
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.003)


def test_terms_of_seeds_stand_query_by_query() -> None:
    def ranked(*last_ranks):
        return RankedSplit(np.array([0, 0, 2]), np.array([0, 1, 2]), np.array(last_ranks, dtype=float))

    tail = np.array([False, True, True])
    found = seed_terms(
        [ranked(1, 11, 3), ranked(12, 2, 60)],
        slices={"overall": np.ones(3, dtype=bool), "tail": tail},
        keys=["overall/recall@10", "tail/recall@10", "overall/map@10"],
        queries=3,
    )
    # Top 10: pairs 0 and 2 with the first seed, 1 with the second. Query 1 has no pair.
    np.testing.assert_allclose(found["overall/recall@10"].numerators, [[1, 0, 1], [1, 0, 0]])
    np.testing.assert_allclose(found["overall/recall@10"].denominators, [2, 0, 1])
    np.testing.assert_allclose(found["tail/recall@10"].numerators, [[0, 0, 1], [1, 0, 0]])
    np.testing.assert_allclose(found["tail/recall@10"].denominators, [1, 0, 1])
    # Average precision of query 0: 1/1 of two relevant items, then 1/2 of two; of query 2: 1/3, then 0.
    np.testing.assert_allclose(found["overall/map@10"].numerators, [[0.5, 0, 1 / 3], [0.25, 0, 0]])
    assert found["overall/recall@10"].ratio() == pytest.approx((2 / 3 + 1 / 3) / 2)


def test_a_value_has_its_interval_around_it() -> None:
    found = Sampled(0.5, np.linspace(0, 1, 1001), np.zeros(1001)).estimate()
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.025, 0.975))
