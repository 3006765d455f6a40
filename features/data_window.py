"""The window of a log: the time in which lines are taken, out of --data-start and --data-end."""

from collections.abc import Mapping
from dataclasses import dataclass

from features.split import TimeBounds
from stage.errors import UsageError
from stage.instant import from_microseconds, parse_instant


@dataclass(frozen=True)
class DataWindow:
    """The half-open time in which lines are taken, UTC microseconds; None: no bound."""

    start: int | None = None
    end: int | None = None

    @property
    def is_bounded(self) -> bool:
        """Whether there are times that lie outside."""
        return self.start is not None or self.end is not None


def window_of(job_options: Mapping[str, str | None]) -> DataWindow:
    """The window of the job options, which may lack them.

    Raises:
        UsageError: If a time isn't ISO 8601, or the end isn't after the start.
    """
    data_start, data_end = job_options.get("data_start"), job_options.get("data_end")
    start = parse_instant(data_start, "--data-start") if data_start is not None else None
    end = parse_instant(data_end, "--data-end") if data_end is not None else None
    if start is not None and end is not None and start >= end:
        raise UsageError(f"--data-end: expected a time after --data-start {data_start}, got {data_end}")
    return DataWindow(start, end)


def hold_splits_to_window(window: DataWindow, bounds: TimeBounds | None) -> None:
    """Fails where a split by time can have no training or no test line in a window.

    Raises:
        UsageError: Naming the option.
    """
    if bounds is None:
        return
    if window.end is not None and window.end <= bounds.test_start:
        raise UsageError(
            f"--data-end: expected a time after {_in_utc(bounds.test_start)}, where the test split begins "
            f"(--test-start or split.test_start), got {_in_utc(window.end)}"
        )
    if window.start is not None and window.start >= bounds.validation_start:
        raise UsageError(
            f"--data-start: expected a time before {_in_utc(bounds.validation_start)}, where validation begins and "
            f"training ends, got {_in_utc(window.start)}"
        )


def _in_utc(instant: int) -> str:
    return from_microseconds(instant).isoformat()
