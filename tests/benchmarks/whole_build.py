"""`build-dataset` as users start it: time and memory by lines of the log, and a plot of them.

Logs have 8 item features, and either the entities of 2 M lines (`kept`: 200,000 queries, 50,000 items), as of a shop
that looks back further, or entities that grow with them (`scaled`: a query for 10 lines, an item for 40).
"""

import json
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from matplotlib.figure import Figure
from measure import Process, Row, Turns, run_command
from raw_logs import generate

SIZES = (500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000)
BASE, LARGE = 2_000_000, 20_000_000
ENTITIES = ("kept", "scaled")


def measure(work: Path, turns: Turns, *, sizes: Sequence[int] = SIZES, entities: Sequence[str] = ENTITIES) -> list[Row]:
    found: dict[tuple[str, int], Process] = {}
    for of, lines in product(entities, sorted(sizes)):
        # With 2 M lines both are one.
        done = next((process for (_, size), process in found.items() if size == lines == BASE), None)
        found[of, lines] = done or build(work, lines, entities_of=BASE if of == "kept" else lines)
    plot(found, work / "whole_build.svg")
    rows = []
    for (of, lines), process in found.items():
        name = f"whole build, {lines / 1e6:g} M lines, entities {of}"
        queries = (BASE if of == "kept" else lines) // 10
        what = (
            f"{queries:,} queries, {queries // 4:,} items, 8 item features; processor time {process.processor:.0f} s; "
            f"plot in {work}/whole_build.svg"
        )
        rows += [
            Row(f"{name}, time", process.seconds, "s", what, at_most=45 if lines == BASE else None),
            Row(f"{name}, peak memory", process.gigabytes, "GB", what, at_most={BASE: 2.5, LARGE: 6.0}.get(lines)),
        ]
    for of in entities:
        if {(of, BASE), (of, LARGE)} <= found.keys():
            large, base = found[of, LARGE], found[of, BASE]
            name = f"whole build, time of 20 M lines against 2 M, entities {of}"
            what = f"processor time {large.processor / base.processor:.1f} x"
            rows.append(Row(name, large.seconds / base.seconds, "x", what, at_most=8))
    return rows


def build(work: Path, lines: int, *, entities_of: int) -> Process:
    raw = generate(work, lines, entities_of=entities_of)
    with tempfile.TemporaryDirectory(dir=work) as directory:
        flags = ("--spec", "synthetic", "--raw", str(raw), "--output", f"{directory}/dataset", "--json")
        process = run_command("build-dataset", *flags)
    assert json.loads(process.stdout)["counts"]["lines/read"] == lines
    return process


def plot(found: dict[tuple[str, int], Process], path: Path) -> None:
    """Seconds and gigabytes against lines."""
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    seconds, memory = figure.subplots(1, 2)
    for of in dict.fromkeys(of for of, _ in found):
        mine = {lines / 1e6: process for (entities, lines), process in found.items() if entities == of}
        seconds.plot(list(mine), [process.seconds for process in mine.values()], marker="o", label=f"entities {of}")
        memory.plot(list(mine), [process.gigabytes for process in mine.values()], marker="o", label=f"entities {of}")
    for axes, label in ((seconds, "seconds"), (memory, "peak memory, GB")):
        axes.set(xlabel="lines of the log, millions", ylabel=label, xlim=(0, None), ylim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path)
