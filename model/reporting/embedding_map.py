"""Where a model puts items: a map of them in two dimensions, coloured by what is known of each.

Shapes: N items of the corpus, M of them on the map, D dimensions of an embedding.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.dataset import Dataset
from model.ranking.metrics import Indices
from model.ranking.scores import Embeddings
from model.reporting.figures import Axes, draw_figure, in_legend
from stage.console import shortened

Places: TypeAlias = NDArray[np.float32]
"""[M, 2]."""

MOST_ITEMS = 2_000
_FEWEST_ITEMS = 5
_COLOURED_VALUES = 9
_LONGEST_LABEL = 28
COLOURS = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#92dadd"]
"""Petroff's."""
OTHER, MISSING = "#d5d8dc", "#f0f1f3"


@dataclass(frozen=True)
class EmbeddingMap:
    """A map, drawn once for each thing that it can be coloured by."""

    items: int
    """M."""
    pictures: dict[str, str]
    """What colours it -> a data URL; empty where there is too little to draw, or all items have one embedding."""


def draw_map(dataset: Dataset, *, ids: Sequence[bytes], train_count: Indices, embeddings: Embeddings) -> EmbeddingMap:
    """Draws a sample of the corpus: items are drawn evenly, as the self-supervised task draws them.

    Args:
        dataset: Whose raw features colour the map.
        ids: [N] The corpus.
        train_count: [N] Training examples that hold the item.
        embeddings: float32 [N, D].

    Raises:
        StageError: If a file of entities/ can't be read, or lacks an item.
    """
    chosen = np.random.default_rng(0).permutation(len(ids))[:MOST_ITEMS]
    if len(chosen) < _FEWEST_ITEMS or embeddings.shape[1] < 2:
        return EmbeddingMap(0, {})
    drawn = embeddings[chosen]
    if np.all(drawn == drawn[0]):
        return EmbeddingMap(0, {})  # t-SNE would divide by their spread, and end with SIGSEGV
    places = place_items(drawn)
    features = [f for f in dataset.features("item") if f.kind in ("numeric", "categorical", "multivalued")]
    columns = [f"feature/{feature.name}" for feature in features]
    raw = dataset.entity_rows("items", [ids[item] for item in chosen], columns=columns)
    pictures = {"training examples": _draw_numbers(places, train_count[chosen].astype(np.float64), log=True)}
    for feature, column in zip(features, columns, strict=True):
        if feature.kind == "numeric":
            numbers = pc.cast(raw[column], pa.float64()).to_numpy(zero_copy_only=False)
            pictures[feature.name] = _draw_numbers(places, numbers, log=False)
        else:
            pictures[feature.name] = _draw_values(places, _first_values(raw[column]))
    return EmbeddingMap(len(chosen), pictures)


def place_items(embeddings: Embeddings) -> Places:
    """Places items by t-SNE of their cosine distances: who is near stays near, distances across the map say little.

    Args:
        embeddings: float32 [M, D], not all equal, M at least 5, D at least 2.
    """
    from sklearn.manifold import TSNE  # noqa: PLC0415  (takes a second to import)
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    place = TSNE(metric="cosine", init="pca", perplexity=min(30.0, (len(embeddings) - 1) / 3), random_state=0)
    # Beside TensorFlow's threads OpenMP's wait for each other; and sums of one thread are the same each time.
    with threadpool_limits(1):
        return place.fit_transform(embeddings)


def _first_values(column: pa.ChunkedArray) -> list[str | None]:
    values = column.to_pylist()
    return [(value[0] if value else None) if isinstance(value, list) else value for value in values]


def _draw_values(places: Places, values: Sequence[str | None]) -> str:
    """The commonest values each have a colour."""
    counts = Counter(value for value in values if value is not None)
    common = sorted(counts, key=lambda value: (-counts[value], value))[:_COLOURED_VALUES]
    shown = [value if value is None or value in common else ... for value in values]
    parts: list[tuple[Any, str, str]] = [(None, MISSING, "(none)"), (..., OTHER, "(other)")]
    parts += [
        (value, colour, shortened(" ".join(value.split()), most=_LONGEST_LABEL))
        for value, colour in zip(common, COLOURS, strict=False)
    ]

    def draw(axes: Axes) -> None:
        for value, colour, label in parts:
            rows = [row for row, one in enumerate(shown) if one == value]
            if rows:
                axes.scatter(*places[rows].T, s=7, color=colour, label=in_legend(label), linewidths=0, rasterized=True)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, markerscale=2, frameon=False)
        _bare(axes)

    return draw_figure(draw, size=(7.2, 5.0))


def _draw_numbers(places: Places, numbers: NDArray[np.float64], *, log: bool) -> str:
    """Numbers on a scale from their 2nd to their 98th percentile: one outlier shouldn't make the rest one colour."""
    finite = np.isfinite(numbers)

    def draw(axes: Axes) -> None:
        axes.scatter(*places[~finite].T, s=7, color=MISSING, linewidths=0, rasterized=True)
        if finite.any():
            low, high = np.percentile(numbers[finite], [2, 98])
            scale: dict[str, Any] = {"vmin": low, "vmax": high if high > low else low + 1}
            if log:
                scale = {"norm": "symlog"}
            drawn = axes.scatter(
                *places[finite].T, s=7, c=numbers[finite], cmap="viridis", linewidths=0, rasterized=True, **scale
            )
            axes.figure.colorbar(drawn, ax=axes, format="{x:,.4g}", shrink=0.7)
        _bare(axes)

    return draw_figure(draw, size=(7.2, 5.0))


def _bare(axes: Axes) -> None:
    """Without numbers, which would mean nothing."""
    axes.set_axis_off()
    axes.set_aspect("equal", adjustable="datalim")
