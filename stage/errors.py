"""Errors a user can act on: one line that says what was expected, what came, where, and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class StageError(Exception):
    """A stage cannot go on; its message is all that the user sees. Exit code 1."""

    exit_code = 1


class StorageError(StageError):
    """A file or directory can't be read, written or listed."""


class UsageError(StageError):
    """The command or the spec is wrong, so nothing was started. Exit code 2."""

    exit_code = 2


class Interrupted(StageError):  # noqa: N818  (an interruption, not an error)
    """The stage was asked to stop and can be resumed by the same command. Exit code 75."""

    exit_code = 75


def with_article(word: str) -> str:
    """A word behind its a or an; several, as recommendations, have none."""
    return word if word.endswith("s") else f"an {word}" if word[0] in "aeiou" else f"a {word}"


def did_you_mean(name: str, known: Iterable[str], *, otherwise: str | None = None, likeness: float = 0.6) -> str:
    """Names the nearest known name.

    Args:
        name: What the user wrote.
        known: Every name that would have been accepted.
        otherwise: What to say if none is near; None: the known names, if there are any.
        likeness: What is near, as difflib's ratio.

    Returns:
        `"; did you mean 'NAME'?"`, or what is said otherwise.
    """
    names = sorted(known)
    same = [one for one in names if one.casefold() == name.casefold()]  # SKU-1 is hardly like sku-1 by letters
    near = same or get_close_matches(name, names, n=1, cutoff=likeness)
    if near:
        return f"; did you mean '{near[0]}'?"
    if otherwise is not None:
        return otherwise
    return f"; known: {', '.join(names)}" if names else ""
