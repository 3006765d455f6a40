"""`make bench`: how fast build, trainer and export are; most figures against a baseline measured in the same run.

Prints a table; exit code 1 if a target is missed. Progress goes to stderr.
"""

import argparse
import dataclasses
import importlib
import json
import logging
import os
import platform
import sys
import time
from functools import partial
from pathlib import Path

from measure import ROOT, Row, take_turns

from stage.whole_number import whole_number

GROUPS = ("aggregation", "information", "examples", "dirty_log", "whole_build", "engines", "training", "serving")
"""Modules here, each with `measure(work, turns)`."""


def main() -> int:
    arguments = parse()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    logging.disable(logging.WARNING)  # Beam's, of type hints
    work = Path(arguments.work).resolve()
    work.mkdir(parents=True, exist_ok=True)
    clock = time.process_time if arguments.cpu else time.perf_counter
    turns = partial(take_turns, repeats=arguments.repeats, clock=clock)
    rows: list[Row] = []
    for group in arguments.groups or GROUPS:
        print(f"{group} ...", file=sys.stderr)
        flags = {"sizes": arguments.lines, "entities": arguments.entities} if group == "whole_build" else {}
        found = importlib.import_module(group).measure(work, turns, **{k: v for k, v in flags.items() if v})
        if not arguments.json:
            print_rows(found, with_head=not rows)
        rows += found
    if arguments.json:
        listed = [dataclasses.asdict(row) | {"missed": row.missed} for row in rows]
        print(json.dumps({"machine": machine(), "rows": listed}, indent=1))
    else:
        print(machine())
    return 1 if any(row.missed for row in rows) else 0


def print_rows(rows: list[Row], *, with_head: bool) -> None:
    if with_head:
        print(f"{'':72} {'value':>12} {'target':>12}")
    for row in rows:
        value = "-" if row.value is None else f"{row.value:,.0f}" if row.value >= 1_000 else f"{row.value:,.2f}"
        print(f"{row.name:72} {value + ' ' + row.unit:>12} {row.target:>12}{'  MISSED' if row.missed else ''}")
        print(f"    {row.detail}", flush=True)


def machine() -> str:
    """What figures hold for."""
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{len(os.sched_getaffinity(0))} processors, Python {platform.python_version()}; load now {load}"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures how fast the build, the trainer and an export are.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"{', '.join(GROUPS)}; all by default")
    parser.add_argument(
        "--repeats",
        type=whole_number(1),
        default=3,
        metavar="N",
        help="times that each is run, in turns (default 3); whole_build and engines run once",
    )
    parser.add_argument(
        "--lines",
        nargs="+",
        type=whole_number(40),  # of which one item is made
        metavar="N",
        help="lines of whole_build's logs (default: six sizes, 0.5 M to 20 M)",
    )
    parser.add_argument(
        "--entities",
        nargs="+",
        choices=("kept", "scaled"),
        help="of whole_build's logs: kept, those of 2 M lines (200,000 queries, 50,000 items) whatever the lines, or "
        "scaled with them; its targets hold for both, which are measured by default",
    )
    parser.add_argument(
        "--cpu",
        action="store_true",
        help="compare processor time, for a machine that is busy with others; not of whole_build and engines",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--work", default=str(ROOT / ".benchmarks"), help="where logs are made and kept")
    arguments = parser.parse_args()
    unknown = set(arguments.groups) - set(GROUPS)
    if unknown:
        parser.error(f"no such group: {', '.join(sorted(unknown))}; expected {', '.join(GROUPS)}")
    if arguments.groups and "whole_build" not in arguments.groups and (arguments.lines or arguments.entities):
        parser.error("--lines and --entities are of whole_build, which is not among the groups")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
