"""Globs: the files that they match, on local disk or gs://."""

import os
import re
from collections.abc import Iterable
from fnmatch import translate

from stage import storage
from stage.errors import StageError


def match(pattern: str) -> list[tuple[str, int]]:
    """The files that match a glob, in order: path and bytes.

    Args:
        pattern: As `glob_to_regex` takes it.

    Raises:
        StageError: If the directory can't be listed, or a link in it leads back to where it lies.
    """
    fixed = re.split(r"[*?\[]", pattern)[0]
    if fixed == pattern:
        size = storage.size_of(pattern)
        return [] if size is None else [(pattern, size)]
    start = fixed.rfind("/") + 1
    directory = fixed[:start].rstrip("/") or fixed[:start] or "."
    below = "/" in pattern[start:] or "**" in pattern[start:]
    wanted = re.compile(glob_to_regex(pattern[start:]))
    found = storage.sizes(directory, below=below).items()
    matching = sorted((fixed[:start] + name, size) for name, size in found if wanted.fullmatch(name))
    if below and "://" not in pattern:
        _refuse_circles(directory, (path for path, _ in matching))
    return matching


def _refuse_circles(start: str, paths: Iterable[str]) -> None:
    """Refuses links that lead back to a directory above them: a listing takes every file through them once more.

    Args:
        start: What was listed.
        paths: Local files below it.

    Raises:
        StageError: Naming such a link.
    """
    seen = {start, ""}
    for path in paths:
        directory = os.path.dirname(path)
        while directory not in seen:
            seen.add(directory)
            above = os.path.dirname(directory)
            if os.path.islink(directory) and storage.is_within(above or ".", directory):
                raise StageError(
                    f"{directory}: expected a link to another place, but it leads back to a directory above it, so "
                    "that all files there would be read more than once; remove it, or write the glob without it"
                )
            directory = above


def glob_to_regex(pattern: str) -> str:
    """What the whole of a path that matches a glob looks like.

    Args:
        pattern: `*`, `?` and `[a-c]` or `[!a-c]` stay within a directory, `**` goes below it. What is no pattern, such
            as an unclosed bracket, stands for itself, as in fnmatch.
    """
    known = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*|\*|\?|\[!?]?[^]]*])", pattern)
    # fnmatch ends what it makes of a bracket by the end of the text, which are two characters.
    brackets = {part: f"(?!/){translate(part)[:-2]}" for part in parts if part.startswith("[") and part.endswith("]")}
    return "(?s:" + "".join((known | brackets).get(part, re.escape(part)) for part in parts) + ")"
