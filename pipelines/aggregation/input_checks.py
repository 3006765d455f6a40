"""Whether a job's input is good enough, by the counts of all of it, and what to do where it isn't."""

from collections.abc import Mapping

from features.spec.sources import InteractionSource, Sources
from features.spec.spec import Spec
from pipelines.aggregation.absent_columns import check_columns
from pipelines.aggregation.counts import (
    below,
    commonest_found,
    ids_to_compare,
    positive_lines,
    rejects_of,
    window_lines,
)
from pipelines.aggregation.job import Job
from pipelines.aggregation.log import EARLY, log_columns
from pipelines.aggregation.other_events import others_alone, others_alone_in_test
from pipelines.aggregation.partition_lines import check_partitions
from pipelines.aggregation.tables import raw_tables
from pipelines.aggregation.times_in_words import compare_units, cure_of_times
from pipelines.aggregation.unusable_files import check_files, cure_of_json, expected_columns, expected_table_columns
from stage.errors import StageError
from stage.manifest import IdsToCompare

_CURE_OF_SHORT_HISTORIES = "check session.min_history, session.gap and session.window"
_NEARLY_ALL = 0.9
"""A share of bad lines that no ratio is for: the input is another than the spec says."""


def check_input(counts: dict[str, int], job: Job) -> None:
    """Fails a job whose input isn't good enough, by the counts of all of it.

    Raises:
        StageError: If a file lacks a column; if a partition is empty; if the log or a table is empty, or has more
            rejects than `sources.max_reject_ratio` allows, naming the commonest reasons; if no line has a value in an
            optional column; or if no training pair is left, or no test pair of a split by time.
    """
    spec, directory, tables = job.spec, job.target.directory, raw_tables(job.spec)
    expected = {
        name: expected_table_columns(
            t.source, t.columns.schema, table=name, hints=job.column_hints, sizes=t.vector_sizes
        )
        for name, t in tables.items()
    }
    expected["log"] = expected_columns(spec.sources.interactions, log_columns(spec).schema, hints=job.column_hints)
    for source in ("log", *tables):
        check_files(counts, source, expected=expected[source], directory=directory)
    check_partitions(counts, job.partitions)
    # Blank lines are none, as in a table's count.
    read = {"log": counts.get("lines/read", 0) - counts.get("filtered/blank", 0)}
    read |= {table: counts.get(f"{table}/read", 0) for table in tables}
    for source, lines in read.items():
        if not lines:
            raise StageError(_without_rows("interactions" if source == "log" else source, spec.sources))
    rejected = below("rejected", counts)
    # Tables first: a bad row of the items makes every line of its item bad, too, as unknown_item.
    for source in (*tables, "log"):
        mine = rejects_of(source, rejected)
        if sum(mine.values()) == read[source]:
            check_files(counts, source, expected=expected[source], directory=directory, enough=1)
        _check_rejects(
            source, counts, lines=read[source], sources=spec.sources, expected=expected[source], directory=directory
        )
    check_columns(counts, job.column_hints)
    _check_pairs(counts, spec)


def _without_rows(key: str, sources: Sources) -> str:
    source = sources.by_name[key]
    if source.path is None:
        return f"sources.{key}.query: expected rows, found none; check the query"
    return f"sources.{key}.path: expected rows in {source.path}, found none in all of it; check the path"


def _check_rejects(
    source: str,
    counts: Mapping[str, int],
    *,
    lines: int,
    sources: Sources,
    expected: Mapping[str, str],
    directory: str,
) -> None:
    """Fails where more of a source's lines are rejected than the spec allows; `expected`: as in `check_files`."""
    rejected = rejects_of(source, below("rejected", counts))
    limit, total = sources.max_reject_ratio, sum(rejected.values())
    if not total or total / lines <= limit:  # not limit * lines: 0.29 of 100 is less than 29
        return
    commonest = sorted(rejected.items(), key=lambda found: (-found[1], found[0]))[:3]
    reasons = ", ".join(f"{reason} {number:,}{_found(counts, reason)}" for reason, number in commonest)
    nearly_all = total >= _NEARLY_ALL * lines
    cure = _cure(counts, sources) if source == "log" else cure_of_json(rejected)
    if cure and not nearly_all and _mostly_unknown(rejected):
        cure += "; or these items have left the table: keep their rows or raise the ratio"
    most, number = commonest[0]
    if not cure and number >= _NEARLY_ALL * lines and (what := expected.get(most.removeprefix(f"{source}/"))):
        cure = f"expected {what}"
    mend = "mend the input or the spec" if nearly_all else "mend the input or raise the ratio"
    if source == "items" and not nearly_all:
        mend += ", by which these items and all lines of the log about them go"
    raise StageError(
        f"sources.max_reject_ratio: {total:,} of {lines:,} lines of the {source} are bad, more than "
        f"{limit:g} of them: {reasons}; see {directory}/rejects/, {mend}{f'; {cure}' if cure else ''}"
    )


def _found(counts: Mapping[str, int], reason: str) -> str:
    """What the rows that are rejected for a reason hold in place of what was expected, in words that follow on it."""
    found = commonest_found(counts, reason)
    return "" if found is None else f" (most often {found})"


def _check_pairs(counts: dict[str, int], spec: Spec) -> None:
    """Fails where no training pair is left, or no test pair of a split by time."""
    of_log = rejects_of("log", below("rejected", counts))
    fates = f"rejected: {_in_words(of_log)}; filtered: {_in_words(below('filtered', counts))}"
    left = f"pair is left of {counts.get('lines/read', 0):,} lines ({fates});"
    early = early_times(counts, spec.sources.interactions)
    suspected = f"; {early}" if early else ""  # no more: times of a log may count from where it begins
    if not counts.get("pairs/train"):
        raise StageError(f"no training {left} {_cure_of_no_training(of_log, counts, sources=spec.sources)}{suspected}")
    # By hash only a small log has none, by chance.
    if spec.split.method == "time" and not counts.get("pairs/test"):
        raise StageError(f"no test {left} {_cure_of_no_test(of_log, counts)}{suspected}")


def _cure_of_no_test(rejected: Mapping[str, int], counts: Mapping[str, int]) -> str:
    if not (others := others_alone_in_test(counts)):
        return _CURE_OF_SHORT_HISTORIES if _mostly_short(rejected, counts) else "check --test-start or split.test_start"
    return (
        "expected events of sources.interactions.positive_events from the test's start on, but the good lines there "
        f"have others alone, most often {', '.join(map(repr, others))}; name those that count now, beside the earlier"
    )


def _cure_of_no_training(rejected: Mapping[str, int], counts: Mapping[str, int], *, sources: Sources) -> str:
    """What to do by the first step that took nearly all of the positive lines that came to it.

    Args:
        rejected: Reason -> lines of the log.
        counts: Of the whole job.
        sources: The spec's section.
    """
    if others := others_alone(counts):
        return (
            "expected events of sources.interactions.positive_events, but the good lines have others alone, most often "
            f"{', '.join(map(repr, others))}; name those that count, upper and lower case as they are"
        )
    outside = counts.get("filtered/outside_window", 0)
    if outside > _NEARLY_ALL * (window_lines(counts) + outside):
        return f"{compare_units(sources.interactions)}, and their days with --data-start to --data-end"
    looked_up, bad = positive_lines(counts), sum(rejected.values())
    if bad > _NEARLY_ALL * looked_up and (cure := _cure(counts, sources)):
        return cure
    if _mostly_short(rejected, counts):
        return _CURE_OF_SHORT_HISTORIES
    return "check sources.interactions.positive_events and the split"


def _mostly_short(rejected: Mapping[str, int], counts: Mapping[str, int]) -> bool:
    """Whether nearly all good lines have too short a history to make an example."""
    good = positive_lines(counts) - sum(rejected.values()) - counts.get("filtered/duplicate", 0)
    return counts.get("filtered/short_history", 0) > _NEARLY_ALL * good


def _cure(counts: Mapping[str, int], sources: Sources) -> str | None:
    """What settles the bad lines of a log, if most of them are so for the same thing; else None.

    Args:
        counts: Of the whole job.
        sources: The spec's section.
    """
    rejected = rejects_of("log", below("rejected", counts))
    if _mostly_unknown(rejected):
        return cure_of_unknown_items(sources, ids_to_compare(counts))
    return cure_of_json(rejected) or cure_of_times(rejected, sources.interactions)


def _mostly_unknown(rejected: Mapping[str, int]) -> bool:
    return 2 * rejected.get("unknown_item", 0) > sum(rejected.values())


def cure_of_unknown_items(sources: Sources, ids: Mapping[str, IdsToCompare]) -> str:
    """What to do if many of the log's items have no row.

    Args:
        sources: The spec's section.
        ids: As `ids_to_compare` finds them.
    """
    return compare_ids(
        f"column {sources.items.id} of the item table",
        f"column {sources.interactions.item_id}",
        ids=ids.get("unknown_item"),
    )


def compare_ids(in_table: str, in_log: str, *, ids: IdsToCompare | None) -> str:
    """What to do if many ids of the log have no row in a table.

    Args:
        in_table: The column with the table's ids, in words.
        in_log: The column with the log's, in words.
        ids: One of each, if any may be told.
    """
    check = f"check that {in_table} has ids exactly as {in_log} of the log has them"
    if ids is None:
        return check
    return f"{check}; the log's smallest id without a row is '{ids.log}', the table's smallest id is '{ids.table}'"


def early_times(counts: Mapping[str, int], source: InteractionSource) -> str | None:
    """That nearly all times of a log are so early that another unit is more likely, in words; None if they aren't."""
    early, lines = counts.get(EARLY, 0), window_lines(counts)
    if source.timestamp_unit == "iso" or early <= _NEARLY_ALL * lines:
        return None
    return (
        f"sources.interactions.timestamp_unit: expected times of our days, but {early:,} of {lines:,} lines are of "
        "before 1990; seconds that are read as ms, or ms as us, are times of 1970"
    )


def _in_words(lines: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in lines.items()) or "none"
