"""Plots as pictures inside the page.

A plot is an SVG in an `<img>`: there a browser runs no script and follows no link, whatever text the plot holds.
"""

import base64
import io
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

Axes: TypeAlias = Any
"""matplotlib's."""

STYLE: Any = {
    "svg.fonttype": "none",  # texts stay texts: the browser has fonts for scripts that matplotlib's lacks
    "svg.hashsalt": "report",  # the same plot, the same bytes
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": "cycler(color=['#3f90da', '#e76300', '#717581', '#bd1f01', '#832db6', '#a96b59', '#b9ac70'])",
    "axes.grid": True,
    "grid.alpha": 0.3,
    "figure.dpi": 100,
    "savefig.dpi": 160,
}
"""The colours are Petroff's, told apart by the colour-blind."""


def in_legend(name: str) -> str:
    """A label of that name which a legend has; matplotlib's leave out empty ones and those that begin with _."""
    return name if name and not name.startswith("_") else f"\u200b{name}"


def draw_figure(draw: Callable[[Axes], object], *, size: tuple[float, float] = (6.4, 4.0)) -> str:
    """Draws one plot.

    Args:
        draw: Gets the axes.
        size: Width and height in inches.

    Returns:
        A data URL.
    """
    import matplotlib as mpl  # noqa: PLC0415  (takes a second to import)
    from matplotlib.figure import Figure  # noqa: PLC0415

    # Every glyph that matplotlib's own font lacks is a warning; the browser's fonts are what counts.
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        image = io.BytesIO()
        figure.savefig(image, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(image.getvalue()).decode()
