"""Recall by how popular an item is.

Shapes: N items of the corpus.
"""

from collections.abc import Mapping

import numpy as np

from model.ranking.metrics import Flags, Indices, RankedSplit, recall
from model.reporting.figures import Axes, draw_figure, in_legend


def popularity_deciles(train_count: Indices) -> dict[str, Flags]:
    """Tenths of the items that training has seen, by how often, and the items that it hasn't.

    Args:
        train_count: [N] Training examples that hold the item. Of items seen equally often those that come first in the
            corpus, which is ordered by id, count as more popular.

    Returns:
        `cold`, then `1`, the least popular tenth, to `10`, each [N], True for its items. Of fewer than ten items that
        were seen, some tenths are empty.
    """
    by_count = np.argsort(-train_count, kind="stable")
    seen = by_count[: np.count_nonzero(train_count)][::-1]
    deciles = {"cold": train_count == 0}
    for number, rows in enumerate(np.array_split(seen, 10), start=1):
        flags = np.zeros(len(train_count), dtype=bool)
        flags[rows] = True
        deciles[str(number)] = flags
    return deciles


def recall_by_decile(ranked: RankedSplit, deciles: Mapping[str, Flags]) -> dict[str, float | None]:
    """Recall@10 of the pairs whose item is in each; None where there is no pair."""
    return {name: recall(ranked.of_items(items), k=10) for name, items in deciles.items()}


def draw_deciles(recalls: Mapping[str, Mapping[str, float | None]]) -> str:
    """Draws a line for each ranking, as a data URL.

    Args:
        recalls: Ranking -> decile -> Recall@10.
    """

    def draw(axes: Axes) -> None:
        for name, found in recalls.items():
            values = [np.nan if value is None else value for value in found.values()]
            axes.plot(list(found), values, marker="o", markersize=4, label=in_legend(name))
        axes.set_xlabel("items, from those without a training pair to the most popular tenth")
        axes.set_ylabel("Recall@10")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=8)

    return draw_figure(draw)
