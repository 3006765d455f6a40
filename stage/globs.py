"""Globs: the files that they match, on local disk or gs://."""

import os
import re
from collections.abc import Iterable, Iterator
from fnmatch import translate

from stage import storage
from stage.errors import StageError
from stage.hidden_files import is_hidden


def match(pattern: str) -> list[tuple[str, int]]:
    """The files that match a glob, in order: path and bytes.

    Args:
        pattern: As `glob_to_regex` takes it.

    Raises:
        StageError: If a directory that may hold such files can't be listed; or, unless its name is hidden, a link leads
            nowhere or back to where it lies, or a file has two names.
    """
    fixed = re.split(r"[*?\[]", pattern)[0]
    if fixed == pattern:
        size = storage.size_of(pattern)
        return [] if size is None else [(pattern, size)]
    start = fixed[: fixed.rfind("/") + 1]
    if "://" not in pattern:
        found = sorted(_local_files(pattern, start=start))
        _refuse_doubles((path, real) for path, size, real in found if size and not is_hidden(path, pattern))
        return [(path, size) for path, size, _ in found]
    wanted = re.compile(glob_to_regex(pattern))
    below = "/" in pattern[len(start) :] or "**" in pattern
    listed = ((start + name, size) for name, size in storage.sizes(start.rstrip("/"), below=below).items())
    return sorted((path, size) for path, size in listed if wanted.fullmatch(path))


def _local_files(pattern: str, *, start: str) -> Iterator[tuple[str, int, str]]:
    """Goes through the directories that may hold files that match, and through links to such.

    Args:
        pattern: What is asked for.
        start: The directory before its first star or the like.

    Yields:
        Of each file that matches: path, bytes, and the path without links.

    Raises:
        StageError: If a directory can't be listed, or a link leads nowhere or back.
    """
    wanted, leads = re.compile(glob_to_regex(pattern)), _leads_to(pattern)
    pending = [(start, [os.path.realpath(start or ".")])]
    while pending:
        directory, above = pending.pop()
        for entry in _entries(directory, may_be_missing=directory == start):
            path = directory + entry.name
            may_lead, matches = leads.fullmatch(path), wanted.fullmatch(path)
            if not (may_lead or matches):
                continue
            real = os.path.join(above[-1], entry.name)
            if entry.is_symlink():
                real = os.path.realpath(path)
                if error := _link_error(path, real, above=above):
                    if not is_hidden(path, pattern):
                        raise error
                    continue
            if entry.is_dir():
                pending += [(f"{path}/", [*above, real])] if may_lead else []
            elif entry.is_file() and matches and (size := storage.size_of(path)) is not None:
                yield path, size, real


def _leads_to(pattern: str) -> re.Pattern[str]:
    """What the path of a directory looks like below which files may match."""
    ends = [found.start() for found in re.finditer(r"/|(?<=\*\*)", pattern)]
    return re.compile("|".join(glob_to_regex(pattern[:end]) for end in ends) or "(?!)")


def _entries(directory: str, *, may_be_missing: bool) -> list[os.DirEntry[str]]:
    """What lies in a directory, by name.

    Raises:
        StageError: If it can't be listed.
    """
    try:
        with os.scandir(directory or ".") as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        if may_be_missing and isinstance(error, FileNotFoundError):
            return []
        raise StageError(f"{directory.rstrip('/')}: cannot be listed: {error.strerror}") from error


def _link_error(path: str, real: str, *, above: list[str]) -> StageError | None:
    """What is wrong with a link, by which files would be lost or read twice; None if nothing is.

    Args:
        path: The link.
        real: Where it leads.
        above: The directories above it, without links.
    """
    if not os.path.exists(path):
        return StageError(
            f"{path}: expected a link to a file or a directory, but {os.readlink(path)} isn't there; mount or restore "
            "it, or remove the link"
        )
    if real in above:
        return StageError(
            f"{path}: expected a link to another place, but it leads back to a directory above it, so that all files "
            "there would be read more than once; remove it, or write the glob without it"
        )
    return None


def _refuse_doubles(files: Iterable[tuple[str, str]]) -> None:
    """Refuses a file that would be read twice.

    Args:
        files: Path, and path without links, of each.

    Raises:
        StageError: By both its names.
    """
    by_place = dict[str, str]()
    for path, real in files:
        if (other := by_place.setdefault(real, path)) != path:
            raise StageError(
                f"{path}: expected another file than {other}, but links lead from both to the same one, which would "
                "be read twice; remove a link, or write the glob without it"
            )


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
