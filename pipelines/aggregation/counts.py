"""The counts of a job: those of its lines and of its sources, and what a manifest shows of them."""

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

import pyarrow as pa
import pyarrow.compute as pc

from stage.errors import StageError

_BEFORE_USERS = ("blank", "not_positive", "outside_window")
"""The rules that filter lines before those of a user are looked at together, and before their items are looked up."""

IdsOf: TypeAlias = Literal["unknown_item", "items"]
"""Of the log, those that the item table lacks; or those of the item table."""
_SUCH_AS = "such_as/"


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
    """The counts of a whole job, without those of single files and columns, and with one id of each side at most."""
    found = {name: number for name, number in counts.items() if "\t" not in name and not name.startswith(_SUCH_AS)}
    return found | {f"{_SUCH_AS}{of}/{smallest}": 1 for of, smallest in ids_to_compare(counts).items()}


def such_as(of: IdsOf, ids: pa.ChunkedArray) -> dict[str, int]:
    """The smallest of some ids as the name of a count, so that one of all can be told."""
    smallest = pc.min(ids.cast(pa.string())).as_py()
    return {} if smallest is None else {f"{_SUCH_AS}{of}/{smallest}": 1}


def ids_to_compare(counts: Mapping[str, int]) -> dict[IdsOf, str]:
    """The smallest id of each side, by the counts of a whole job; empty if all items are known, or must not be told."""
    sides: tuple[IdsOf, ...] = get_args(IdsOf)
    found = {of: min(ids) for of in sides if (ids := below(f"{_SUCH_AS}{of}", counts))}
    return found if len(found) == len(sides) else {}


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
