"""Lists laid end to end, ranges of places and runs of equal values, found without a loop."""

from typing import Any

import numpy as np
import numpy.typing as npt


def ranges(starts: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """starts[0], starts[0] + 1, ... (sizes[0] of them), starts[1], ..., int64 [sum of sizes].

    Args:
        starts: [n].
        sizes: [n], of each range; may be 0.
    """
    bounds = offsets(sizes)
    return np.arange(bounds[-1]) + np.repeat(starts - bounds[:-1], sizes)


def offsets(sizes: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
    """Where lists of these sizes, [n], begin that lie end to end, and where the last one ends; int64 [n + 1]."""
    found = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=found[1:])
    return found


def begins_run(values: npt.NDArray[np.integer[Any] | np.floating[Any]]) -> npt.NDArray[np.bool_]:
    """Whether each value, [n], differs from the one before it, as the first does."""
    begins = np.ones(len(values), bool)
    begins[1:] = values[1:] != values[:-1]
    return begins


def place_in_run(values: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
    """How many of a run of equal values, [n], come before each, int64 [n]."""
    places = np.arange(len(values))
    return places - np.maximum.accumulate(np.where(begins_run(values), places, 0))
