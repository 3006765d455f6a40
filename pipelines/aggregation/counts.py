"""The counts of a job: those of its lines and of its sources, and what a manifest shows of them."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from stage.errors import StageError
from stage.manifest import IdsToCompare

_BEFORE_USERS = ("blank", "not_positive", "outside_window")
"""The rules that filter lines before those of a user are looked at together, and before their items are looked up."""

_ID = "id\t"
"""Of counts whose names go on with a reason, whether it is of the log or the table, and an id."""
_FOUND = "found\t"
"""Of counts whose names go on with a reason, and what was found."""


def positive_lines(counts: Mapping[str, int]) -> int:
    """The lines of a log that aren't filtered before their items are looked up, the rejected ones among them."""
    return window_lines(counts) - counts.get("filtered/over_max_lines", 0)


def window_lines(counts: Mapping[str, int]) -> int:
    """The positive lines of a log that lie in the window, the rejected ones among them."""
    return counts.get("lines/read", 0) - sum(counts.get(f"filtered/{rule}", 0) for rule in _BEFORE_USERS)


def rejects_of(source: str, rejected: Mapping[str, int]) -> dict[str, int]:
    """Reason -> lines, of all those of a source: the log, items or queries."""
    return {reason: lines for reason, lines in rejected.items() if _source_of(reason) == source}


def _source_of(reason: str) -> str:
    """Whose lines a reason rejects: those of a table, whose name it begins with, or of the log."""
    table = reason.partition("/")[0]
    return table if table in ("items", "queries") else "log"


def without_files(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts of a whole job, without those of single files, columns and ids that have a tab in their names."""
    return {name: number for name, number in counts.items() if "\t" not in name}


def count_smallest(ids: pa.Array | pa.ChunkedArray, *, reason: str, of: Literal["log", "table"]) -> dict[str, int]:
    """Counts the smallest of some ids, so that of a whole job's one can be told.

    Args:
        ids: Strings, perhaps none.
        reason: What they are told for.
        of: Whether they are those of the log that have no row, or the table's.
    """
    smallest = pc.min(ids.cast(pa.string())).as_py()
    return {} if smallest is None else {f"{_ID}{reason}\t{of}\t{smallest}": 1}


def ids_to_compare(counts: Mapping[str, int]) -> dict[str, IdsToCompare]:
    """Reason -> the smallest id of each side, by the counts of a whole job; only where both have one to be told."""
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for name in sorted((name for name in counts if name.startswith(_ID)), reverse=True):
        _, reason, of, smallest = name.split("\t", 3)
        found[reason][of] = smallest
    return {reason: IdsToCompare(**ids) for reason, ids in found.items() if len(ids) == len(IdsToCompare.model_fields)}


def count_found(faults: pa.Table, source: str) -> dict[str, int]:
    """Counts what was found in rows of a table that are rejected for it, such as a vector's size.

    Args:
        faults: Schema REJECTS, content where there is something to be told.
        source: items or queries.
    """
    told = faults.filter(faults.column("content").is_valid())
    found = zip(told.column("reason").to_pylist(), told.column("content").to_pylist(), strict=True)
    return Counter(f"{_FOUND}{source}/{reason}\t{content.decode()}" for reason, content in found)


def commonest_found(counts: Mapping[str, int], reason: str) -> str | None:
    """What was found most often in the rows that are rejected for a reason; None if nothing is known of them.

    Args:
        counts: Of the whole job.
        reason: With its table before it.
    """
    group = f"{_FOUND}{reason}\t"
    found = {name.removeprefix(group): rows for name, rows in counts.items() if name.startswith(group)}
    return min(found, key=lambda what: (-found[what], what), default=None)


def count_ids(found: Mapping[str, IdsToCompare]) -> dict[str, int]:
    """The counts by which `ids_to_compare` finds these ids."""
    return {f"{_ID}{reason}\t{of}\t{one}": 1 for reason, ids in found.items() for of, one in ids}


def shown_counts(counts: dict[str, int]) -> dict[str, int]:
    """A job's counts as a manifest has them: lines by their fate, and pairs; rejects by reason stand for themselves."""
    found = {name: number for name, number in sorted(counts.items()) if not name.startswith("rejected/")}
    found["lines/rejected"] = sum(rejects_of("log", below("rejected", counts)).values())
    found["lines/filtered"] = sum(below("filtered", counts).values())
    return found


def reconcile_lines(found: dict[str, int]) -> None:
    """Checks that every line that was read is accounted for.

    Args:
        found: As `shown_counts` has them.

    Raises:
        StageError: If lines were lost: then the job is wrong, and its output must not be used.
    """
    parts = found["lines/rejected"] + found["lines/filtered"] + found["lines/kept"]
    if found["lines/read"] != parts:
        raise StageError(f"the job lost lines: read {found['lines/read']}, accounted for {parts}; please report this")


def below(group: str, counts: Mapping[str, int]) -> dict[str, int]:
    """The counts named GROUP/NAME, by NAME, without zeros."""
    return {n.removeprefix(f"{group}/"): c for n, c in sorted(counts.items()) if n.startswith(f"{group}/") and c}
