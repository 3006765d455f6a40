"""`ssl-two-tower validate`: whether a dataset is whole, and about as large as another one."""

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal

from rich.table import Table

from features.dataset import Dataset
from pipelines.nightly_runs import find_baseline
from stage.command_line import run_process
from stage.console import console
from stage.errors import StageError, UsageError
from stage.parser import Parser

COUNTS = ("examples/train", "examples/validation", "examples/test", "items", "queries")
_MAX_CHANGE = 2
_NEEDED = ("train", "test")
"""Splits that have to have examples where the spec asks for any."""


def main(argv: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        StageError: If a file differs from the manifest, or a count is out of bounds.
        UsageError: If an option is wrong.
    """
    options = _parser().parse_args(argv)
    max_change = _MAX_CHANGE if options.max_change is None else options.max_change
    if not 1 < max_change < math.inf:
        raise UsageError(f"--max-change: expected a number above 1, got {max_change:g}")
    if options.max_change is not None and options.baseline is None:
        raise UsageError("--max-change: expected --baseline beside it, since counts are compared with that dataset's")
    dataset = Dataset.open(options.dataset, verify=True)
    found = _counts(dataset)
    baseline = find_baseline(options.dataset, options.baseline)
    before = None if baseline is None else _counts(Dataset.open(baseline))
    if options.json:
        print(json.dumps({"counts": found, "baseline": before}))
    else:
        _show(found, before)
    needed = [f"examples/{name}" for name in _NEEDED if name in dataset.spec.split.asked_for]
    if wrong := out_of_bounds(found, before, needed=needed, max_change=max_change):
        against = f", against {baseline}" if before is not None else ""
        said = "; ".join(f"{name}: {what}" for name, what in wrong.items())
        raise StageError(f"{options.dataset}: {said}{against}; mend the input{_or_else(wrong, found, before=before)}")
    if not options.json:
        like = f", each count within a factor of {max_change:g} of {baseline}'s"
        print(f"{options.dataset}: whole{like if before is not None else ''}")


def out_of_bounds(
    found: Mapping[str, int], before: Mapping[str, int] | None, *, needed: Collection[str], max_change: float
) -> dict[str, str]:
    """Says of each count that is wrong what is wrong with it, by name.

    Args:
        found: Of the dataset.
        before: Of the one that it is held to; a split that isn't needed, and is empty there, is held to nothing.
        needed: Counts that may not be 0.
        max_change: So many times the other's count may be a count, or the other's it.
    """
    wrong = {name: "expected some, found none" for name in needed if not found[name]}
    factor = Decimal(str(max_change))  # as it was written: 100 * 1.15 is less than 115
    for name, count in (before or {}).items():
        if not count and name.startswith("examples/") and name not in needed:
            continue
        low, high = math.ceil(count / factor), math.floor(count * factor)
        if not low <= found[name] <= high:
            wrong.setdefault(name, f"expected {low:,} to {high:,}, found {found[name]:,}")
    return wrong


def _or_else(wrong: Iterable[str], found: Mapping[str, int], *, before: Mapping[str, int] | None) -> str:
    """What else to do about counts that are wrong, if anything."""
    if not all(found[name] for name in wrong):
        return ""
    if not all((before or {}).get(name) for name in wrong):  # no factor leads to 0 or away from it
        return ", or take another --baseline"
    return ", or allow it with another --max-change"


def _counts(dataset: Dataset) -> dict[str, int]:
    return {name: dataset.manifest.counts[name] for name in COUNTS}


def _show(found: Mapping[str, int], before: Mapping[str, int] | None) -> None:
    table = Table("", "dataset", "baseline")
    for name in COUNTS:
        table.add_row(name, f"{found[name]:,}", "-" if before is None else f"{before[name]:,}")
    console().print(table)


def _parser() -> Parser:
    parser = Parser(
        prog="ssl-two-tower validate",
        description="Compares every file of a dataset with its manifest, and its counts with those of another one,\n"
        "such as yesterday's. Schema and drift are the build's own to judge (build-dataset --baseline).",
        example="ssl-two-tower validate --dataset TODAY/dataset --baseline YESTERDAY/dataset",
    )
    parser.add_argument("--dataset", metavar="DIR", required=True, help="what build-dataset left")
    parser.add_argument(
        "--baseline", metavar="DIR", help="the dataset to compare counts with, as build-dataset takes it"
    )
    parser.add_argument(
        "--max-change",
        metavar="FACTOR",
        type=float,
        help=f"a count may be so many times the baseline's, or that many times smaller (default {_MAX_CHANGE})",
    )
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    return parser


if __name__ == "__main__":
    run_process(main)
