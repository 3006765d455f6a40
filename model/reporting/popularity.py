"""How unevenly training examples fall on items.

Shapes: N items of the corpus.
"""

import numpy as np

from model.ranking.metrics import Indices
from model.reporting.figures import Axes, draw_figure


def popularity_curve(train_count: Indices) -> tuple[Indices, Indices]:
    """The points of the curve at which the count changes, which draw the same line as all of them.

    Args:
        train_count: [N] Training examples that hold the item.

    Returns:
        Ranks, from 1, and counts, falling; of items with a training example alone.
    """
    falling = np.sort(train_count[train_count > 0])[::-1]
    if not len(falling):
        return falling, falling
    changes = np.flatnonzero(np.diff(falling))
    # The last item of each count and the first of the next.
    kept = np.unique(np.concatenate([[0], changes, changes + 1, [len(falling) - 1]]))
    return kept + 1, falling[kept]


def share_of_most_frequent(train_count: Indices) -> float:
    """The share of all training examples that the tenth of the items with the most of them has, rounded up."""
    falling = np.sort(train_count)[::-1]
    return float(falling[: -(-len(falling) // 10)].sum() / max(falling.sum(), 1))


def draw_popularity(train_count: Indices) -> str:
    """The curve, both axes logarithmic, as a data URL."""

    def draw(axes: Axes) -> None:
        axes.loglog(*popularity_curve(train_count))
        # matplotlib's own labels of powers are formulas, which would have to be parsed in names too.
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.set_xlabel("rank of the item")
        axes.set_ylabel("training examples with the item")

    return draw_figure(draw)
