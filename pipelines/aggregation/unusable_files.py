"""Files of which every line is rejected for one column: it isn't there, or of another type than the spec says.

Parquet and Avro say so in their schema, and CSV names its columns. Beyond that lines are counted: a few bad lines are
an accident, a file of many and nothing else is another format, which `max_reject_ratio` must not let pass among many
good files.
"""

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa

from features.parsing.parsed_lines import wrong_type
from features.raw_features import bad_vector
from features.spec.sources import InteractionSource, Source, TableSource
from pipelines.aggregation.column_types import type_in_words
from pipelines.aggregation.columns import EVENT
from pipelines.aggregation.counts import commonest_found
from pipelines.aggregation.times_in_words import expected_times
from stage.errors import StageError

_LINES, _REJECTED = "file\t", "rejected\t"
"""Of counts whose names go on with the source: a file may be that of two."""
_ENOUGH = 100
"""Lines of a file, without one that is good, that are no accident."""
_FIELDS = "as many fields as columns"
_ONE_OBJECT = (
    "expected one JSON object on each line, neither an array nor an object over several lines, "
    "and no column twice in it"
)
_MALFORMED = ("not_json", "invalid_utf8", "unbalanced_quote", "bare_return", "nul_byte", "repeated_header")


def expected_columns(source: InteractionSource, columns: pa.Schema, *, hints: Mapping[str, str]) -> dict[str, str]:
    """What is expected of a line of a log.

    Args:
        source: The log.
        columns: Those that are read.
        hints: Of the job's columns, by key.

    Returns:
        Reason to reject a line -> what was expected of its columns.
    """
    times = f"times in {expected_times(source)} in the column {source.timestamp}"
    types = _types_in_words(columns, source, name="interactions")
    if source.timestamp is not None:
        types[wrong_type(source.timestamp)] = times
    if source.event is not None:
        types[wrong_type(source.event)] += f" ({EVENT}; other numbers in quotes, as positive_events has them)"

    def column(name: str, more: str = "") -> str:
        key = f"sources.interactions.{name}"
        return f"a column {getattr(source, name)} ({key}{hints.get(key, '')}{more})"

    return {
        "missing_query_id": column("query_id"),
        "missing_item_id": column("item_id"),
        "missing_event": column("event", "; null where the log has no events"),
        "missing_timestamp": column("timestamp"),
        "bad_timestamp": times,
        "field_count": _FIELDS,
        **types,
    }


def expected_table_columns(
    source: TableSource, columns: pa.Schema, *, table: str, hints: Mapping[str, str], sizes: Mapping[str, int]
) -> dict[str, str]:
    """As `expected_columns`, of a row of a table, items or queries; with the sizes of its columns of vectors."""
    key = f"sources.{table}.id"
    return {
        "bad_id": f"ids in a column {source.id} ({key}{hints.get(key, '')})",
        "field_count": _FIELDS,
        **_types_in_words(columns, source, name=table),
        **{bad_vector(name): f"vectors of {size} numbers in {name}" for name, size in sizes.items()},
    }


def _types_in_words(columns: pa.Schema, source: Source, *, name: str) -> dict[str, str]:
    """Reason to reject a line for the type of a column -> what that holds."""
    of_csv = f" (only in CSV sources.{name}.list_separator splits a text)" if source.list_separator is not None else ""
    return {
        wrong_type(
            field.name
        ): f"{type_in_words(field)} in {field.name}{of_csv if pa.types.is_list(field.type) else ''}"
        for field in columns
    }


def count_in_file(path: str, lines: int, *, source: str, rejected: Mapping[str, int]) -> dict[str, int]:
    """Counts of one batch, which the job adds up like all others.

    Args:
        path: The batch's file.
        lines: Lines read, without blank ones.
        source: The log, items or queries.
        rejected: Reason -> lines of the batch.
    """
    by_reason = {f"{_REJECTED}{source}\t{reason}\t{path}": number for reason, number in rejected.items()}
    return {f"{_LINES}{source}\t{path}": lines, **by_reason}


def check_files(
    counts: Mapping[str, int], source: str, *, expected: Mapping[str, str], directory: str, enough: int = _ENOUGH
) -> None:
    """Fails for a file of a source of which no line has what is expected of a column.

    Args:
        counts: Of the whole job.
        source: The log, items or queries.
        expected: As `expected_columns` has it; other reasons say nothing of a column.
        directory: Where rejects/ is.
        enough: Files of fewer lines pass.

    Raises:
        StageError: Naming the file and the column.
    """
    lacking = Counter[tuple[str, str]]()
    for name, lines in counts.items():
        if name.startswith(f"{_REJECTED}{source}\t"):
            _, _, reason, path = name.split("\t", 3)
            if reason in expected:
                lacking[expected[reason], path] += lines
    for (what, path), lines in sorted(lacking.items()):
        if lines >= enough and lines == well_formed_lines(path, counts, source=source):
            found = [_found(counts, f"{source}/{reason}") for reason in expected if expected[reason] == what]
            raise StageError(
                f"{path}: expected {what}, but none of its {lines:,} lines has that; see {directory}/rejects/"
                f"{''.join(found)}"
            )


def _found(counts: Mapping[str, int], reason: str) -> str:
    most = commonest_found(counts, reason)
    return "" if most is None else f"; {reason}: most often {most}"


def well_formed_lines(path: str, counts: Mapping[str, int], *, source: str) -> int:
    """Lines of a file of a source that its format allows, out of the counts of a whole job."""
    return counts.get(f"{_LINES}{source}\t{path}", 0) - malformed_lines(path, counts, source=source).total()


def cure_of_json(rejected: Mapping[str, int]) -> str | None:
    """What settles lines that are no JSON objects, if most bad lines of a source or partition are; else None.

    Args:
        rejected: Reason -> lines; of a table with its name before the reason.
    """
    for reason, lines in rejected.items():
        if reason.rpartition("/")[2] == "not_json" and 2 * lines > sum(rejected.values()):
            return f"{reason}: {_ONE_OBJECT}"
    return None


def malformed_lines(path: str, counts: Mapping[str, int], *, source: str) -> Counter[str]:
    """Why the other lines of a file of a source, without blank ones, are rejected -> how many."""
    found = {reason: counts.get(f"{_REJECTED}{source}\t{reason}\t{path}", 0) for reason in _MALFORMED}
    return Counter(found)
