"""The plots of a comparison, of which each is made of its results alone."""

import io
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from model.comparison.paper_protocol import FIRST_DROPOUT_RATE
from model.comparison.results_file import FractionResults, Results, Row
from model.comparison.tables import percent
from model.comparison.variants import ALPHA, DROPOUT_RATE, PLAIN, VARIANTS
from stage import storage

Axes: TypeAlias = Any
Draw: TypeAlias = Callable[[FractionResults, Axes], bool]
Point: TypeAlias = tuple[object, float]

_GAINS = (-100, -50, -25, -10, 0, 10, 25, 50, 100, 300)
"""Ticks, in percent."""


def write_plots(results: Results, directory: str) -> None:
    """Writes a PNG for each plot that the results have points for, a panel per fraction.

    Args:
        results: The comparison's.
        directory: Gets the files.
    """
    plots: dict[str, Draw] = {
        "alpha": lambda found, axes: _grid(found, axes, key=ALPHA),
        "dropout_rate": lambda found, axes: _grid(found, axes, key=DROPOUT_RATE),
        "head_and_tail": _head_and_tail,
        "overall_and_tail": _overall_and_tail,
    }
    for name, draw in plots.items():
        _write(name, draw, results=results, directory=directory)


def _write(name: str, draw: Draw, *, results: Results, directory: str) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415  (takes a second to import)

    columns = max(len(results.fractions), 1)
    figure = Figure(figsize=(6 * columns, 4.5))
    panels = figure.subplots(1, columns, squeeze=False)
    drawn = []
    for (fraction, found), axes in zip(results.fractions.items(), panels[0], strict=False):
        axes.set_title(f"{percent(fraction)} of the training pairs")
        drawn.append(draw(found, axes))
    if any(drawn):
        figure.tight_layout()
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=110, metadata={"Software": None})
        storage.write_bytes(storage.join(directory, f"{name}.png"), image.getvalue())


def _grid(found: FractionResults, axes: Axes, *, key: str) -> bool:
    """Recall@50 on validation along one of the paper's grids, the other key at its value there."""
    lines = dict(_grid_lines(found, key))
    for name, points in lines.items():
        axes.plot(*zip(*sorted(points), strict=True), marker="o", markersize=4, label=name)
    if key == ALPHA and lines:
        axes.set_xscale("log")
    axes.set_xlabel(key)
    axes.set_ylabel("Recall@50, validation")
    if lines:
        axes.legend(fontsize=8)
    return bool(lines)


def _grid_lines(found: FractionResults, key: str) -> Iterator[tuple[str, list[Point]]]:
    paper = found.protocols.get("paper")
    for name, trials in paper.trials.items() if paper is not None else ():
        tried = [(t.settings, t.recall_50) for t in trials if key in t.settings and t.recall_50 is not None]
        if key == ALPHA:  # where there is a dropout rate, alpha was chosen at this one
            tried = [trial for trial in tried if trial[0].get(DROPOUT_RATE, 0) in (0, FIRST_DROPOUT_RATE)]
        elif tried:
            best = max(tried, key=lambda trial: trial[1])[0].get(ALPHA)
            tried = [trial for trial in tried if trial[0].get(ALPHA) == best]
        if len({settings[key] for settings, _ in tried}) > 1:
            yield name, [(settings[key], recall) for settings, recall in tried]


def _head_and_tail(found: FractionResults, axes: Axes) -> bool:
    """Gains over plain in Recall@10 of head and tail, with the intervals that are over seeds too."""
    drawn = False
    rows = {name: None for content in found.protocols.values() for name in content.rows if name in VARIANTS}
    shown = [name for name in rows if name != PLAIN]
    for p, (protocol, content) in enumerate(found.protocols.items()):
        for s, slice_name in enumerate(("head", "tail")):
            bars = {name: bar for name in shown if (bar := _gain_bar(content.rows.get(name), slice_name)) is not None}
            if bars:
                places = [shown.index(name) + 0.2 * (2 * p + s) - 0.3 for name in bars]
                values, below, above = zip(*bars.values(), strict=True)
                label = f"{slice_name}, {protocol}"
                axes.errorbar(places, values, yerr=[below, above], fmt="os"[s], markersize=4, capsize=2, label=label)
                drawn = True
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set_yscale("symlog", linthresh=50)  # without logQ gains are of another order
    axes.set_yticks(_GAINS, [f"{gain:+d}" for gain in _GAINS])
    axes.set_xticks(range(len(shown)), shown, rotation=40, ha="right", fontsize=8)
    axes.set_ylabel(f"gain over {PLAIN} in Recall@10, %")
    if drawn:
        axes.legend(fontsize=8)
    return drawn


def _gain_bar(row: Row | None, slice_name: str) -> tuple[float, float, float] | None:
    """A row's gain over plain in Recall@10 of a slice, and how far its interval goes below and above, in percent."""
    over_plain = None if row is None else row.gains_over.get(PLAIN)
    gain = None if over_plain is None else over_plain.gains_seeds_too.get(f"{slice_name}/recall@10")
    if gain is None or gain.value is None or gain.low is None or gain.high is None:
        return None
    return 100 * gain.value, 100 * (gain.value - gain.low), 100 * (gain.high - gain.value)


def _overall_and_tail(found: FractionResults, axes: Axes) -> bool:
    """Every trial of every variant: what it gains overall, and on the tail."""
    drawn = False
    for protocol, content in found.protocols.items():
        for name, trials in content.trials.items():
            points = [(t.recall_50, t.tail_recall_50) for t in trials]
            points = [point for point in points if None not in point]
            if points:
                round_, place = divmod(list(VARIANTS).index(name), 10)
                face = "none" if protocol == "paper" else f"C{place}"
                style = {"marker": "os^"[round_], "edgecolors": f"C{place}", "facecolors": face, "s": 18}
                axes.scatter(*zip(*points, strict=True), **style, label=f"{name}, {protocol}")
                drawn = True
    axes.set_xlabel("Recall@50, validation")
    axes.set_ylabel("tail Recall@50, validation")
    if drawn:
        # In points, so that it is below the axis's label however little height a long legend leaves to the axes.
        axes.legend(fontsize=6, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=6)
    return drawn
