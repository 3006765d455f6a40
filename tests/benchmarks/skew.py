"""A log in which one query, or one item, has half of all lines, against an even one of the same size.

    .venv/bin/python tests/benchmarks/skew.py --directory /tmp/skew

Prints of each: the largest groups that steps of the build get at once, its largest file of examples, peak memory, time.
"""

import argparse
import json
import os
import resource
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import largest_group
import numpy as np

from pipelines import build_dataset
from stage.command_line import run_command
from stage.whole_number import whole_number

LOGS = ("even", "query", "item")
SPEC = """
name: skew
sources:
  interactions: {path: LOG.jsonl, timestamp: timestamp}
  items: {path: items.jsonl}
query: {features: {user: {kind: id}}}
item: {features: {app: {kind: id}, category: {kind: categorical}}}
"""


def write_log(path: Path, log: str, *, lines: int, entities: int) -> None:
    """JSON lines of queries and items drawn evenly, but for the one that has half; no line equals another."""
    rng = np.random.default_rng(1)
    columns = {name: rng.integers(entities, size=lines) for name in ("query", "item")}
    if log != "even":
        columns[log][rng.permutation(lines)[: lines // 2]] = 7
    times = 1_704_067_200 + np.arange(lines) * (30 * 86_400) // lines
    rows = zip(*(columns[name].tolist() for name in ("query", "item")), times.tolist(), strict=True)
    with path.open("w") as file:
        file.writelines(
            f'{{"query_id": "u{query:07d}", "item_id": "a{item:07d}", "event": "install", "timestamp": {at}}}\n'
            for query, item, at in rows
        )


def build(directory: Path, log: str, flags: list[str]) -> dict[str, Any]:
    """Builds, and measures."""
    spec = directory / f"{log}.yaml"
    spec.write_text(SPEC.replace("LOG", log))
    output = directory / "dataset"
    largest_group.look()
    start = time.perf_counter()
    where = ["--spec", str(spec), "--raw", str(directory), "--output", str(output), "--overwrite"]
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        code = run_command(build_dataset.main, [*where, *flags])
    if code:
        raise SystemExit(code)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    manifest = json.loads((output / "manifest.json").read_text())
    return {
        "log": log,
        "rows": dict(largest_group.ROWS.most_common(12)),
        "bytes": dict(largest_group.BYTES.most_common(3)),
        "largest file of train/": max(f["size"] for f in manifest["files"] if f["name"].startswith("train/")),
        "peak MB": usage.ru_maxrss >> 10,
        "seconds": round(time.perf_counter() - start, 1),
        "user seconds": round(usage.ru_utime, 1),
    }


def main() -> None:
    """Makes the logs, and builds from each in a process of its own."""
    parser = argparse.ArgumentParser(
        description="Builds from logs in which one query, or one item, has half of all lines, and from an even one.",
        epilog="Further flags are build-dataset's.",
    )
    parser.add_argument("--lines", type=whole_number(2), default=1_000_000, metavar="N", help="of a log (default 1 M)")
    parser.add_argument(
        "--entities", type=whole_number(8), default=200_000, metavar="N", help="queries, and items (default 200,000)"
    )
    parser.add_argument("--directory", type=Path, required=True, help="where the logs and the last dataset are left")
    parser.add_argument("--log", choices=LOGS, help="this one alone, in this process")
    arguments, flags = parser.parse_known_args()
    directory: Path = arguments.directory
    if arguments.log:
        print(json.dumps(build(directory, arguments.log, flags), indent=1))
        return
    directory.mkdir(parents=True, exist_ok=True)
    for log in LOGS:
        write_log(directory / f"{log}.jsonl", log, lines=arguments.lines, entities=arguments.entities)
    items = (f'{{"item_id": "a{n:07d}", "category": "c{n % 40}"}}\n' for n in range(arguments.entities))
    (directory / "items.jsonl").write_text("".join(items))
    for log in LOGS:
        command = [sys.executable, __file__, "--directory", str(directory), "--log", log, *flags]
        if os.spawnv(os.P_WAIT, sys.executable, command):
            raise SystemExit(1)


if __name__ == "__main__":
    main()
