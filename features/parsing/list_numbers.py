"""Lists of a vector's column: their values are numbers, some perhaps missing, whatever is made of these later.

Every format takes them as doubles, then the nearest float32 of each, so that a number is the same in all of them.
"""

from decimal import Decimal
from typing import Any

import pyarrow as pa

DOUBLES = pa.list_(pa.float64())
"""What a list is read as."""
_NUMBERS = {int, float, Decimal, type(None)}


def is_vector(kind: pa.DataType) -> bool:
    """Whether a type that is read or kept is that of vectors."""
    return pa.types.is_list(kind) and pa.types.is_floating(kind.value_type)


def are_numbers(values: list[Any]) -> bool:
    """Whether each value of a list is a number, or None; to isinstance a truth value is one."""
    return set(map(type, values)) <= _NUMBERS
