"""Which partition of a table whose path holds {date} is read: the last one up to the window's last day."""

import glob
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from features.spec.sources import Source, Sources, TableSource
from pipelines.aggregation.partitions import PLACEHOLDER, day_at
from stage import globs
from stage.errors import StageError

_DATE = r"(\d{4}-\d{2}-\d{2})"
_DATE_GLOB = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"


@dataclass(frozen=True)
class TableDay:
    """Which partition of a table is read."""

    day: str
    """YYYY-MM-DD."""
    unfinished: str | None = None
    """A file of the last later partition, of which all files are empty or hidden, as those of a writer at work."""


class _File(NamedTuple):
    """One of a partition, or of a directory in the place of one."""

    day: str
    path: str
    is_read: bool
    """Whether it has a byte and no hidden name."""


def table_day(full: str, *, end: int | None, key: str) -> TableDay:
    """A table's last partition up to the window's last day that has a file to read, or on disk is a directory of such.

    Args:
        full: The table's path, which holds {date}, with the raw directory before it.
        end: The instant after the window, UTC microseconds; None: the last partition there is.
        key: The spec's key, for errors.

    Raises:
        StageError: If there is no such partition.
    """
    limit = "9999-12-31" if end is None else f"{day_at(end - 1):%Y-%m-%d}"
    day_of = _day_finder(full, limit)
    found = list(_files(full, day_of))
    # A later day that is a directory by mistake, as Spark writes a table, is taken too, and refused by `find_files`.
    found += _files_of_directories(full, day_of, after=max((file.day for file in found if file.is_read), default=""))
    latest = max((file.day for file in found if file.is_read), default=None)
    last = max((file for file in found if not file.is_read), default=None)
    if latest is None:
        until = "" if end is None else f" not after {limit}"
        only = "" if last is None else f" but empty or hidden files, such as {last.path}"
        raise StageError(f"{key}: expected a partition of {full}{until}, found none{only}")
    return TableDay(latest, last.path if last is not None and last.day > latest else None)


def _day_finder(full: str, limit: str) -> Callable[[str], str | None]:
    """From a path to the day that it has in the table's place for it; None: none, or one after the limit."""
    wanted = re.compile(_DATE.join(globs.glob_to_regex(part) for part in full.split(PLACEHOLDER)))

    def day_of(path: str) -> str | None:
        found = wanted.fullmatch(path)
        if found is None or len(set(found.groups())) > 1 or found[1] > limit:  # its path may hold the day twice
            return None
        return found[1]

    return day_of


def _files(full: str, day_of: Callable[[str], str | None]) -> Iterator[_File]:
    for path, size in globs.match(full.replace(PLACEHOLDER, _DATE_GLOB)):
        if (day := day_of(path)) is not None:
            yield _File(day, path, size > 0 and not globs.is_hidden(path, full.replace(PLACEHOLDER, day)))


def _files_of_directories(full: str, day_of: Callable[[str], str | None], *, after: str) -> Iterator[_File]:
    """What lies below directories of later days. On gs:// all objects below them would have to be listed."""
    if "://" in full or full.endswith("*"):  # by such an end days may rightly hold more than files
        return
    for directory in glob.iglob(full.replace(PLACEHOLDER, _DATE_GLOB), recursive=True):
        day = day_of(directory)
        if day is not None and day > after and os.path.isdir(directory):
            pattern = f"{directory}/**"
            for path, size in globs.match(pattern):
                yield _File(day, path, size > 0 and not globs.is_hidden(path, pattern))


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
        oldest = "" if end is None else f"{day_at(end - 1) - age:%Y-%m-%d}"
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
