"""Tables and lines for people on stdout. Texts are shown as they are: what looks like markup is part of a name."""

import re
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_WIDTH_OF_A_FILE = 120
_ANY_WIDTH = 10_000


def console() -> Console:
    """Prints to stdout as it is now: as wide as the terminal, or the same everywhere in a file."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE, markup=False, emoji=False)


def print_widest(tables: Sequence[Table]) -> int:
    """Prints the first of some tables that there is room for, else the last one as wide as it needs.

    Args:
        tables: The widest first; none of their lines is broken.

    Returns:
        Which one it was.
    """
    out = console()
    options = out.options.update_width(_ANY_WIDTH)
    needed = [Measurement.get(out, options, table).maximum for table in tables]
    shown = next((number for number, width in enumerate(needed) if width <= out.width), len(tables) - 1)
    out.width = max(out.width, needed[shown])
    out.print(tables[shown])
    return shown


def shortened(text: str, most: int = 120) -> str:
    """A text that has no more characters than are read in one look; of a longer one the beginning, and an ellipsis.

    Control characters, which would recolour or rewrite a terminal, are blanks.
    """
    text = re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text)
    return text if len(text) <= most else f"{text[: most - 1]}…"
