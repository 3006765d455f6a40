"""How much memory a call takes."""

import tracemalloc
from collections.abc import Callable
from typing import Any


def with_peak(call: Callable[[], Any]) -> tuple[Any, int]:
    """What it returns, and the most bytes that Python and NumPy held at once meanwhile."""
    tracemalloc.start()
    try:
        return call(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
