"""How many lines of a partition the window holds, and whether there are any: counted by the job, checked at its end."""

from collections import Counter
from collections.abc import Mapping, Sequence

from pipelines.aggregation.partitions import Partition
from pipelines.aggregation.unusable_files import cure_of_json, malformed_lines, well_formed_lines
from stage.errors import StageError

OUTSIDE = "outside_window/"
"""Before the glob of a partition whose day the window holds, but none of its lines: their count."""
_INSIDE_OF_FILE, _OUTSIDE_OF_FILE = "inside\t", "outside\t"


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
