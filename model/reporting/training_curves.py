"""How trainings went, from the history.json of each."""

from collections.abc import Mapping
from functools import partial

from model.reporting.figures import Axes, draw_figure, in_legend
from model.training.training_history import History

CURVES = {
    "main_loss": "main loss, mean since the validation before",
    "ssl_loss": "self-supervised loss, mean since the validation before",
    "recall@10": "Recall@10 on validation",
    "recall@50": "Recall@50 on validation",
}
"""Key of an entry -> what it is called."""


def draw_curves(histories: Mapping[str, History]) -> dict[str, str]:
    """Draws each curve that a history has numbers for.

    Args:
        histories: Name of a model -> its history.

    Returns:
        What is drawn -> a data URL.
    """
    drawn = {}
    for key, label in CURVES.items():
        lines = {
            # Where nothing is self-supervised, the loss of that is 0.
            name: [(e["step"], e[key]) for e in history if e.get(key) is not None and (e[key] or key != "ssl_loss")]
            for name, history in histories.items()
        }
        lines = {name: points for name, points in lines.items() if points}
        if lines:
            drawn[label] = draw_figure(partial(_draw, lines=lines, label=label), size=(5.2, 3.4))
    return drawn


def _draw(axes: Axes, *, lines: Mapping[str, list[tuple[int, float]]], label: str) -> None:
    for name, points in lines.items():
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=in_legend(name))
    axes.set_xlabel("step")
    axes.set_title(label, fontsize=10)
    if len(lines) > 1:
        axes.legend(fontsize=8)
