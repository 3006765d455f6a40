"""The highest of so many of the lowest draws, however many come."""

import numpy as np
import pytest
from peak_memory import with_peak

from model.ranking.drawn_queries import draws_of, highest_draw, of_drawn_queries

BATCHES = [np.array([n * n % 101 + n % 7 for n in range(start, start + 50)], np.uint64) for start in range(0, 1000, 50)]
ALL = sorted(int(draw) for batch in BATCHES for draw in batch)
DISTINCT = sorted(set(ALL))


@pytest.mark.parametrize("distinct", [True, False])
@pytest.mark.parametrize("most", [1, 2, 30, len(DISTINCT) - 1])
def test_equal_draws_count_once_or_each(most: int, distinct: bool) -> None:
    assert highest_draw(BATCHES, most, distinct=distinct) == (DISTINCT if distinct else ALL)[most - 1]


def test_a_few_draws() -> None:
    draws = [np.array([7, 3, 3], np.uint64), np.array([3, 9], np.uint64)]
    assert [highest_draw(draws, most, distinct=True) for most in (1, 2, 3, 4)] == [3, 7, None, None]
    assert [highest_draw(draws, most, distinct=False) for most in (1, 2, 3, 4, 5)] == [3, 3, 3, 7, None]


@pytest.mark.parametrize("batches", [BATCHES, [BATCHES[0][:0]], []])
def test_where_no_more_came_than_are_drawn_none_is_the_highest(batches: list[np.ndarray]) -> None:
    assert highest_draw(batches, len(DISTINCT), distinct=True) is None
    assert highest_draw(batches, len(ALL), distinct=False) is None
    assert highest_draw(batches, None, distinct=True) is None


def test_what_is_not_drawn_is_not_kept() -> None:
    generator = np.random.default_rng(1)
    draws = (generator.integers(1 << 63, size=1000, dtype=np.uint64) for _ in range(500))
    found, peak = with_peak(lambda: highest_draw(draws, 100, distinct=True))
    assert found is not None
    assert peak < 1 << 20  # all of them take 4 MB


def test_draws_of_session_mode_are_by_user_and_item_whatever_codes_examples_hold():
    ids = [np.array(texts, object) for texts in ([b"u", b"u", b"v"], [b"a", b"b", b"a"])]
    draws = draws_of((np.array([b"1", b"2", b"3"], object), *ids), is_session=True)
    again = draws_of((np.array([b"4", b"4", b"4"], object), *ids), is_session=True)
    np.testing.assert_array_equal(draws, again)
    assert len(set(draws.tolist())) == 3


def test_in_session_mode_a_pair_that_comes_again_is_another_query() -> None:
    texts = ([b"1", b"2", b"3", b"4"], [b"u", b"u", b"v", b"v"], [b"a", b"a", b"b", b"b"])
    batch = tuple(np.array(column, object) for column in texts)
    for is_session, kept in ((True, 2), (False, 4)):
        found = of_drawn_queries(lambda: iter([batch]), 2, is_session=is_session)
        assert [len(serialized) for serialized, _, _ in found] == [kept]
