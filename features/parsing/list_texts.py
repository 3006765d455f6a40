"""Lists of a multivalued column: their values are texts, or integers throughout, which are then their digits."""

from typing import Any


def as_texts(values: list[Any]) -> list[str | None] | None:
    """The values of a list as texts, None among them; None for all where one is no text, and not all are integers."""
    kinds = {type(value) for value in values if value is not None}  # to isinstance a truth value is an integer
    if kinds <= {str}:
        return values
    return [None if value is None else str(value) for value in values] if kinds == {int} else None
