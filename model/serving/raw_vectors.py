"""Vectors as a program writes them: lists of numbers."""

import reprlib
from collections.abc import Sequence
from decimal import Decimal
from numbers import Real
from typing import TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

Vector: TypeAlias = npt.NDArray[np.float32]

LARGEST = float(np.finfo(np.float32).max)


def as_vector(values: object, size: int) -> Vector | None:
    """A list of so many numbers, each finite in float32; an empty one is empty. None for anything else."""
    if not _is_list(values) or len(values) not in (0, size):
        return None
    kinds = set(map(type, values))
    if bool in kinds or not all(issubclass(kind, Real | Decimal) for kind in kinds):  # a truth value is a Real
        return None
    try:
        found = np.array(values, np.float64)
    except (OverflowError, ValueError):  # an integer beyond float64, a signalling NaN of Decimal
        return None
    return found.astype(np.float32) if np.all(np.abs(found) <= LARGEST) else None


def found_instead(values: object, size: int) -> str:
    """What came in place of a vector, in few words."""
    if not _is_list(values):
        return reprlib.repr(values)
    if len(values) != size:
        return f"a list of {len(values)}"
    return f"a list with {reprlib.repr(next(one for one in values if as_vector([one], 1) is None))}"


def _is_list(values: object) -> TypeGuard[Sequence[object]]:
    return isinstance(values, Sequence) and not isinstance(values, str | bytes | bytearray)
