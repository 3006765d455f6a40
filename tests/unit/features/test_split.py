"""Which split a line falls into."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from features.spec.split import Split
from features.split import TimeBounds, split_of_lines, time_bounds
from stage.errors import UsageError
from stage.instant import parse_instant

DAY = 86_400 * 1_000_000
JULY = 1_248_739_200 * 1_000_000  # 2009-07-28T00:00:00Z


def pairs(count):
    return pa.table({"query_id": [f"q{n % 317}" for n in range(count)], "item_id": [f"i{n}" for n in range(count)]})


@pytest.mark.parametrize(("validation", "test"), [(0.03, 0.10), (0.0, 0.5), (0.2, 0.0)])
def test_the_splits_have_their_shares(validation, test):
    found = np.bincount(
        split_of_lines(pairs(100_000), Split(validation=validation, test=test), bounds=None), minlength=3
    )
    for count, share in zip(found, (1 - validation - test, validation, test), strict=True):
        assert abs(count / 100_000 - share) < 4 * np.sqrt(share * (1 - share) / 100_000) + 1e-9


def test_the_split_of_a_pair_is_that_of_every_dataset_built_so_far():
    assert split_of_lines(pairs(40), Split(validation=0.3, test=0.3), bounds=None).tolist() == [
        1, 2, 2, 2, 0, 1, 0, 0, 1, 0, 1, 0, 2, 2, 0, 2, 0, 0, 0, 1,
        0, 0, 2, 0, 0, 2, 1, 0, 1, 0, 0, 0, 0, 0, 2, 1, 0, 1, 0, 1,
    ]  # fmt: skip


def test_a_pair_has_one_split_wherever_it_stands_and_another_seed_draws_anew():
    lines = pairs(1000)
    found = split_of_lines(lines, Split(test=0.4), bounds=None)
    order = np.random.default_rng(0).permutation(1000)
    assert np.array_equal(split_of_lines(lines.take(pa.array(order)), Split(test=0.4), bounds=None), found[order])
    assert not np.array_equal(split_of_lines(lines, Split(test=0.4, seed=1), bounds=None), found)


def test_a_larger_test_share_keeps_the_test_pairs_of_the_smaller():
    lines = pairs(1000)
    small = split_of_lines(lines, Split(test=0.1), bounds=None) == 2
    large = split_of_lines(lines, Split(test=0.3), bounds=None) == 2
    assert (small <= large).all()


def test_by_time_each_bound_belongs_to_the_later_split():
    times = pa.array([JULY - 1, JULY, JULY + DAY - 1, JULY + DAY, 0], pa.int64()).cast(pa.timestamp("us"))
    lines = pa.table({"query_id": ["q"] * 5, "item_id": ["i"] * 5, "timestamp": times})
    found = split_of_lines(lines, Split(method="time", validation_seconds=1), bounds=TimeBounds(JULY, JULY + DAY))
    assert found.tolist() == [0, 1, 1, 2, 0]


@pytest.mark.parametrize(
    ("keys", "option", "expected"),
    [
        ({"validation_start": "2009-07-27", "test_start": "2009-07-28"}, None, (JULY - DAY, JULY)),
        ({"validation_seconds": 3600, "test_start": "2009-07-28T00:00:00Z"}, None, (JULY - DAY // 24, JULY)),
        ({"validation_seconds": 86_400, "test_start": "2020-01-01"}, "2009-07-28T02:00:00+02:00", (JULY - DAY, JULY)),
        ({"validation_start": "2001-01-01", "validation_seconds": 86_400}, "2009-07-28", (JULY - DAY, JULY)),
        ({"validation_start": "2009-07-28", "test_start": "2009-07-28"}, None, (JULY, JULY)),
    ],
)
def test_time_bounds_come_from_the_spec_or_the_option(keys, option, expected):
    assert time_bounds(Split(method="time", **keys), option) == TimeBounds(*expected)


def test_a_split_by_hash_has_no_bounds():
    assert time_bounds(Split(), None) is None


@pytest.mark.parametrize(
    ("split", "option", "message"),
    [
        (Split(), "2009-07-28", "--test-start: goes with split.method time; this spec splits by pair_hash"),
        (
            Split(method="time", validation_seconds=1),
            None,
            "--test-start or split.test_start: a split by time needs one of them, got none",
        ),
        (
            Split(method="time", validation_start="2009-07-27", test_start="2009-07-28"),
            "2009-07-29",
            "split.validation_seconds: --test-start needs it",
        ),
        (
            Split(method="time", validation_start="2009-07-29", test_start="2009-07-28"),
            None,
            "split: expected validation to start before test (2009-07-28), got 2009-07-29",
        ),
        (
            Split(method="time", validation_seconds=1),
            "soon",
            "--test-start: expected an ISO 8601 time such as 2009-07-28T00:00:00Z, got 'soon'",
        ),
        (
            Split(method="time", validation_seconds=1, test_start="soon"),
            None,
            "split.test_start: expected an ISO 8601 time such as 2009-07-28T00:00:00Z, got 'soon'",
        ),
        (
            Split(method="time", validation_start="soon", test_start="2009-07-28"),
            None,
            "split.validation_start: expected an ISO 8601 time such as 2009-07-28T00:00:00Z, got 'soon'",
        ),
    ],
)
def test_bounds_that_make_no_sense_are_refused(split, option, message):
    with pytest.raises(UsageError) as caught:
        time_bounds(split, option)
    assert str(caught.value).startswith(message)


def test_an_instant_without_a_zone_is_utc():
    assert parse_instant("2009-07-28T00:00:00.000001", "x") == JULY + 1
    assert parse_instant("1969-12-31T23:59:59Z", "x") == -1_000_000
    assert datetime.fromtimestamp(parse_instant("2009-07-28T05:00:00+05:00", "x") / 1e6, UTC).hour == 0
