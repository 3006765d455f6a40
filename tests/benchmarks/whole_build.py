"""`build-dataset` as users start it: time and memory by lines of the log, and a plot of them."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from measure import Process, Row, Turns, run_command
from raw_logs import generate

SIZES = (500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000)
BASE, LARGE = 2_000_000, 20_000_000


def measure(work: Path, turns: Turns, sizes: Sequence[int] = SIZES) -> list[Row]:
    found = {lines: build(work, lines) for lines in sorted(sizes)}
    plot(found, work / "whole_build.svg")
    rows = []
    for lines, process in found.items():
        of = f"whole build, {lines / 1e6:g} M lines"
        what = f"{lines // 10:,} queries, {lines // 40:,} items, 8 item features; plot in {work}/whole_build.svg"
        rows += [
            Row(f"{of}, time", process.seconds, "s", what, at_most=45 if lines == BASE else None),
            Row(f"{of}, peak memory", process.gigabytes, "GB", what, at_most={BASE: 2.5, LARGE: 6.0}.get(lines)),
        ]
    if BASE in found and LARGE in found:
        ratio = found[LARGE].seconds / found[BASE].seconds
        rows.append(Row("whole build, time of 20 M lines against 2 M", ratio, "x", "", at_most=8))
    return rows


def build(work: Path, lines: int) -> Process:
    raw = generate(work, lines)
    with tempfile.TemporaryDirectory(dir=work) as directory:
        flags = ("--spec", "synthetic", "--raw", str(raw), "--output", f"{directory}/dataset", "--json")
        process = run_command("build-dataset", *flags)
    assert json.loads(process.stdout)["counts"]["lines/read"] == lines
    return process


def plot(found: dict[int, Process], path: Path) -> None:
    """Seconds and gigabytes against lines."""
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    millions = [lines / 1e6 for lines in found]
    shown = {
        "seconds": [process.seconds for process in found.values()],
        "peak memory, GB": [process.gigabytes for process in found.values()],
    }
    for axes, (label, values) in zip(figure.subplots(1, 2), shown.items(), strict=True):
        axes.plot(millions, values, marker="o")
        axes.set(xlabel="lines of the log, millions", ylabel=label, xlim=(0, None), ylim=(0, None))
        axes.grid(alpha=0.3)
    figure.savefig(path)
