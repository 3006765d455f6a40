"""Sources whose path holds {date}: what is read of each day, and the days of the log in the window."""

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from features.data_window import DataWindow
from features.spec.sources import WEEKDAYS
from stage.errors import UsageError
from stage.instant import from_microseconds, to_microseconds

PLACEHOLDER = "{date}"
_DAY = 86_400_000_000
"""Microseconds."""


@dataclass(frozen=True)
class WindowDay:
    """A day of the window, UTC."""

    is_whole: bool
    """Whether the window holds all of it."""
    is_outer: bool
    """Whether it is the first or the last of several: then a window without it is possible."""
    is_off: bool = False
    """Whether it may have no file, and no line."""


@dataclass(frozen=True)
class Partition:
    """What a source whose path holds {date} has of one day."""

    source: str
    """The log, items or queries."""
    glob: str
    files: tuple[str, ...]
    """What the glob matches."""
    day: WindowDay | None = None
    """The log's; None: of a table."""


def log_patterns(pattern: str, window: DataWindow, *, days_off: Collection[str] = ()) -> dict[str, WindowDay | None]:
    """The globs of a log, one per day of the window if its path holds {date} (YYYY-MM-DD, UTC).

    Args:
        pattern: As the spec has it.
        window: Whose days are read.
        days_off: The log's key.

    Returns:
        Glob -> its day.

    Raises:
        UsageError: If the path holds {date} and the window is open.
    """
    if PLACEHOLDER not in pattern:
        return {pattern: None}
    start, end = window.start, window.end
    if start is None or end is None:
        raise UsageError(f"sources.interactions.path: {pattern} needs --data-start and --data-end")
    first, last = (day_at(instant) for instant in (start, end - 1))
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return {
        pattern.replace(PLACEHOLDER, f"{day:%Y-%m-%d}"): WindowDay(
            is_whole=start <= to_microseconds(day) and to_microseconds(day) + _DAY <= end,
            is_outer=(day == first) != (day == last),
            is_off=not {f"{day:%Y-%m-%d}", WEEKDAYS[day.weekday()]}.isdisjoint(days_off),
        )
        for day in days
    }


def tell_days_off(partitions: Sequence[Partition]) -> None:
    """Says on stderr of which days off there is no file."""
    without = [partition.glob for partition in partitions if not partition.files]
    if without:
        print(f"sources.interactions.path: no files of days_off: {', '.join(without)}", file=sys.stderr)


def day_at(instant: int) -> datetime:
    """The start of the day that holds an instant in UTC microseconds."""
    return from_microseconds(instant).replace(hour=0, minute=0, second=0, microsecond=0)
