"""The window of a log, out of the job options, and what a split by time needs of it."""

import pytest

from features.data_window import DataWindow, hold_splits_to_window, window_of
from features.split import TimeBounds
from stage.errors import UsageError


def test_a_window_ends_after_it_starts() -> None:
    window = {"data_start": "1970-01-01T00:00:01Z", "data_end": "1970-01-01T00:00:02Z", "test_start": None}
    assert window_of(window) == DataWindow(1_000_000, 2_000_000)
    assert window_of({}) == DataWindow()
    with pytest.raises(UsageError, match="expected a time after --data-start 2009-07-28, got 2009-07-28"):
        window_of({"data_start": "2009-07-28", "data_end": "2009-07-28"})


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-12:00", "2009-07-32"])
def test_what_is_no_time_of_the_calendar_is_refused(time: str) -> None:
    with pytest.raises(UsageError, match="--data-start: expected an ISO 8601 time such as"):
        window_of({"data_start": time})


DAY = 86_400_000_000


@pytest.mark.parametrize(
    ("window", "said"),
    [
        (
            DataWindow(None, 5 * DAY),
            "--data-end: expected a time after 1970-01-06T00:00:00+00:00, where the test split begins (--test-start or "
            "split.test_start), got 1970-01-06T00:00:00+00:00",
        ),
        (
            DataWindow(4 * DAY, None),
            "--data-start: expected a time before 1970-01-05T00:00:00+00:00, where validation begins and training "
            "ends, got 1970-01-05T00:00:00+00:00",
        ),
    ],
)
def test_a_split_by_time_has_lines_in_the_window(window: DataWindow, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        hold_splits_to_window(window, TimeBounds(4 * DAY, 5 * DAY))
    assert str(caught.value) == said
    hold_splits_to_window(window, None)
    for roomy in (DataWindow(), DataWindow(4 * DAY - 1, 5 * DAY + 1)):
        hold_splits_to_window(roomy, TimeBounds(4 * DAY, 5 * DAY))
