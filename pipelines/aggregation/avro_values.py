"""Values that Avro can hold and Python can't, as a time in the year 300,000, at which fastavro raises."""

from collections.abc import Callable
from typing import Any

from fastavro.read import LOGICAL_READERS

_READERS = dict(LOGICAL_READERS)


def read_any_value() -> None:
    """Makes fastavro give such a value as text of what is stored, which fits no time and no number."""
    LOGICAL_READERS.update({name: _or_text(read) for name, read in _READERS.items()})


def _or_text(read: Callable[..., Any]) -> Callable[..., Any]:
    def lenient(data: Any, *schemas: Any) -> Any:
        try:
            return read(data, *schemas)
        except (ArithmeticError, ValueError):
            return str(data)

    return lenient
