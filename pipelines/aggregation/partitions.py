"""Sources whose path holds {date}: the log's partitions in the window, a table's last one up to its last day."""

import glob
import os
import re
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from features.data_window import DataWindow
from features.spec.sources import WEEKDAYS, Source, Sources, TableSource
from pipelines.aggregation.unusable_files import cure_of_json, malformed_lines, well_formed_lines
from stage import globs
from stage.errors import StageError, UsageError
from stage.instant import from_microseconds, to_microseconds

PLACEHOLDER = "{date}"
OUTSIDE = "outside_window/"
"""Before the glob of a partition whose day the window holds, but none of its lines: their count."""
_DATE = r"(\d{4}-\d{2}-\d{2})"
_DATE_GLOB = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_INSIDE_OF_FILE, _OUTSIDE_OF_FILE = "inside\t", "outside\t"


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


@dataclass(frozen=True)
class TableDay:
    """Which partition of a table is read."""

    day: str
    """YYYY-MM-DD."""
    unfinished: str | None = None
    """A file of the last later partition, of which all files are empty or hidden, as those of a writer at work."""


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
    first, last = (_day(instant) for instant in (start, end - 1))
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return {
        pattern.replace(PLACEHOLDER, f"{day:%Y-%m-%d}"): WindowDay(
            is_whole=start <= to_microseconds(day) and to_microseconds(day + timedelta(days=1)) <= end,
            is_outer=(day == first) != (day == last),
            is_off=not {f"{day:%Y-%m-%d}", WEEKDAYS[day.weekday()]}.isdisjoint(days_off),
        )
        for day in days
    }


def table_day(full: str, *, end: int | None, key: str) -> TableDay:
    """A table's last partition up to the window's last day that has a file to read, or on disk is a directory of such.

    Args:
        full: The table's path, which holds {date}, with the raw directory before it.
        end: The instant after the window, UTC microseconds; None: the last partition there is.
        key: The spec's key, for errors.

    Raises:
        StageError: If there is no such partition.
    """
    limit = "9999-12-31" if end is None else f"{_day(end - 1):%Y-%m-%d}"
    finished, unfinished = list[str](), list[tuple[str, str]]()
    wanted = re.compile(_DATE.join(globs.glob_to_regex(part) for part in full.split(PLACEHOLDER)))

    def day_of(path: str) -> str | None:
        found = wanted.fullmatch(path)
        if found is None or len(set(found.groups())) > 1 or found[1] > limit:  # its path may hold the day twice
            return None
        return found[1]

    for path, size in globs.match(full.replace(PLACEHOLDER, _DATE_GLOB)):
        if (day := day_of(path)) is not None:
            if size and not globs.is_hidden(path, full.replace(PLACEHOLDER, day)):
                finished.append(day)
            else:
                unfinished.append((day, path))
    # A later day that is a directory by mistake, as Spark writes a table, is taken too, and refused by `find_files`.
    for path in _directories(full):
        day = day_of(path)
        if day is not None and day > max(finished, default=""):
            inside, pattern = globs.match(f"{path}/**"), f"{path}/**"
            if any(size and not globs.is_hidden(name, pattern) for name, size in inside):
                finished.append(day)
            else:
                unfinished += [(day, name) for name, _ in inside]
    last, sign = max(unfinished, default=("", ""))
    if not finished:
        until = "" if end is None else f" not after {limit}"
        only = f" but empty or hidden files, such as {sign}" if sign else ""
        raise StageError(f"{key}: expected a partition of {full}{until}, found none{only}")
    latest = max(finished)
    return TableDay(latest, sign if last > latest else None)


def _directories(full: str) -> list[str]:
    """Those that match a table's path for files, latest last. On gs:// all objects below it would have to be listed."""
    if "://" in full or full.endswith("*"):  # by such an end days may rightly hold more than files
        return []
    matches = glob.iglob(full.replace(PLACEHOLDER, _DATE_GLOB), recursive=True)
    return sorted(path for path in matches if os.path.isdir(path))


def tell_days_off(partitions: Sequence[Partition]) -> None:
    """Says on stderr of which days off there is no file."""
    without = [partition.glob for partition in partitions if not partition.files]
    if without:
        print(f"sources.interactions.path: no files of days_off: {', '.join(without)}", file=sys.stderr)


def tell_table_days(days: Mapping[str, TableDay], sources: Sources, *, end: int | None) -> None:
    """Says on stderr which partition of each table is read, and warns of one that is older than its `max_age_days`.

    Args:
        days: Table -> its partition, as `table_day` finds it.
        sources: The spec's section.
        end: The instant after the window, UTC microseconds; None: it is open.
    """
    for table, found in days.items():
        key, sign = f"sources.{table}", found.unfinished
        later = f"; of a later one all files are empty or hidden, such as {sign}" if sign else ""
        age = _max_age(sources.by_name[table])
        oldest = "" if end is None else f"{_day(end - 1) - age:%Y-%m-%d}"
        if found.day >= oldest:
            print(f"{key}.path: takes the partition of {found.day}{later}", file=sys.stderr)
        else:
            last = "the window's last day"
            allowed = f"max_age_days ({age.days}) before {last}, or later" if age else last
            print(
                f"warning: {key}.path: expected a partition of {oldest}, {allowed}, but the latest that has files is "
                f"of {found.day}, and is taken{later}; if a later one is still to come, build again then; if "
                f"none is, {key}.max_age_days allows for it",
                file=sys.stderr,
            )


def _max_age(table: Source) -> timedelta:
    return timedelta(days=table.max_age_days if isinstance(table, TableSource) else 0)


def count_by_window(path: str, *, inside: int, outside: int) -> dict[str, int]:
    """Counts of one batch, which the job adds up like all others.

    Args:
        path: The batch's file, of the log.
        inside: Its good lines in the window.
        outside: Its other good lines.
    """
    return {f"{_INSIDE_OF_FILE}{path}": inside, f"{_OUTSIDE_OF_FILE}{path}": outside}


def lines_outside(counts: Mapping[str, int], partitions: Sequence[Partition]) -> dict[str, int]:
    """Counts, as OUTSIDE names them, the lines of the partitions that have none where they should have all.

    By local time the first and the last partition may rightly lie outside, so days that the window cuts say nothing.

    Args:
        counts: Of the whole job.
        partitions: Of all sources.
    """
    found = {}
    for partition in partitions:
        inside, outside = (
            sum(counts.get(f"{prefix}{path}", 0) for path in partition.files)
            for prefix in (_INSIDE_OF_FILE, _OUTSIDE_OF_FILE)
        )
        if partition.day and partition.day.is_whole and outside and not inside:
            found[f"{OUTSIDE}{partition.glob}"] = outside
    return found


def check_partitions(counts: Mapping[str, int], partitions: Sequence[Partition]) -> None:
    """Fails for a partition that holds nothing, as of empty compressed files, or nothing in its format; days off may.

    Args:
        counts: Of the whole job.
        partitions: Of all sources.

    Raises:
        StageError: Naming the partition.
    """
    for partition in partitions:
        source, day = partition.source, partition.day
        if any(well_formed_lines(path, counts, source=source) for path in partition.files):
            continue
        malformed = sum((malformed_lines(path, counts, source=source) for path in partition.files), Counter[str]())
        reasons = ", ".join(f"{reason} {lines:,}" for reason, lines in malformed.most_common())
        if day is not None and day.is_off and not reasons:
            continue
        found = f"all of its lines are bad: {reasons}" if reasons else "its files are empty"
        cures = ["mend them"]
        if day is not None and day.is_outer:
            cures.append("leave its day out of --data-start to --data-end")
        if day is not None and not reasons:
            cures.append("name it in sources.interactions.days_off")
        cure = cure_of_json(malformed)
        raise StageError(
            f"{partition.glob}: expected rows in this partition, but {found}; {', or '.join(cures)}"
            f"{f'; {cure}' if cure else ''}"
        )


def _day(instant: int) -> datetime:
    return from_microseconds(instant).replace(hour=0, minute=0, second=0, microsecond=0)
