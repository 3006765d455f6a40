"""Tables and lines for people on stdout. Texts are shown as they are: what looks like markup is part of a name."""

import sys

from rich.console import Console

_WIDTH_OF_A_FILE = 120


def console() -> Console:
    """Prints to stdout as it is now: as wide as the terminal, or the same everywhere in a file."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE, markup=False, emoji=False)
