"""The known id that somebody may have meant who asked with an unknown one."""

from collections.abc import Callable, Iterable

import pyarrow as pa

from stage.errors import did_you_mean

NAMES_COMPARED = 5_000
"""Of more ids the nearest to an unknown one isn't looked for: a service would pay for that with each new user."""
_LIKENESS = 0.8
"""Of ids that count as misspelt: of two UUIDs most have 0.6, and telling takes nine times as long (measured)."""


def near_id(one: str, known: Iterable[pa.Array], *, is_known: Callable[[str], bool]) -> str:
    """Names the nearest known id, as `did_you_mean` does; empty if none is near, or there are too many to look.

    Args:
        one: The unknown id.
        known: The known ones, some at a time.
        is_known: Whether an id is among them.
    """
    whole = one.removesuffix(".0")  # of a column of integers that pandas has made floats
    if whole != one and is_known(whole):
        return f"; did you mean '{whole}'?"
    names: list[str] = []
    for some in known:
        if len(names) + len(some) > NAMES_COMPARED:
            return ""
        names += some.to_pylist()
    for name in names:
        if name.lstrip("0") == one.lstrip("0"):  # of a column of texts that pandas has made integers
            return f"; did you mean '{name}'?"
    # Of numbers each is near to another, and none is misspelt.
    return "" if one.isdecimal() else did_you_mean(one, names, otherwise="", likeness=_LIKENESS)
