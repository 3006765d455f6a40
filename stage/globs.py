"""Globs: the files that they match, on local disk or gs://."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import translate

from stage import storage
from stage.errors import StageError

_PATTERN = re.compile(r"[*?\[]")
_HIDDEN = (".", "_")


def match(pattern: str) -> list[tuple[str, int]]:
    """The files that match a glob, in order: path and bytes.

    Args:
        pattern: As `glob_to_regex` takes it.

    Raises:
        StageError: If a directory that may hold such files can't be listed, or a link leads nowhere or back to where it
            lies, unless its name is hidden; or a file's name isn't UTF-8.
    """
    if not is_pattern(pattern):
        size = storage.size_of(pattern)
        return [] if size is None else [(pattern, size)]
    fixed = _PATTERN.split(pattern)[0]
    start = fixed[: fixed.rfind("/") + 1]
    if "://" not in pattern:
        return sorted(_local_files(pattern, start=start))
    wanted = re.compile(glob_to_regex(pattern))
    below = "/" in pattern[len(start) :] or "**" in pattern
    listed = ((start + name, size) for name, size in storage.sizes(start.rstrip("/"), below=below).items())
    found = sorted((path, size) for path, size in listed if wanted.fullmatch(path))
    for path, _ in found:
        if "//" in path.removeprefix("gs://"):
            raise StageError(f"{path}: expected a name without an empty part, which can't be read; rename it")
    return found


def matching_files(pattern: str, *, option: str) -> list[str]:
    """Paths of the Parquet files that an option's glob matches, but for hidden ones.

    Raises:
        StageError: As `match`, or if there is none.
    """
    files = [path for path, _ in match(pattern) if not is_hidden(path, pattern)]
    if not files:
        hint = f"; for the files in that directory write {pattern.rstrip('/')}/*" if storage.names(pattern) else ""
        raise StageError(f"{option}: expected Parquet files that match {pattern}, found none{hint}")
    return files


def is_pattern(path: str) -> bool:
    """Whether a path is a glob rather than the name of one file."""
    return _PATTERN.search(path) is not None


def rooted(path: str) -> str:
    """A path by its own name, so that it says the same to processes that stand elsewhere, as a cluster's workers.

    It stays relative where a directory above, which nobody named, would make it a glob.
    """
    own = storage.from_root(path)
    return path if is_pattern(own) and not is_pattern(path) else own


def is_hidden(path: str, pattern: str) -> bool:
    """Whether a glob took a name that begins with . or _, be it of a directory, without asking for such names.

    Spark and Hive leave them out too: what their writers leave beside the data, such as _SUCCESS.

    Args:
        path: What it matched.
        pattern: The glob; parts before its first pattern may be named as they like.
    """
    parts = pattern.split("/")
    start = next((number for number, part in enumerate(parts) if is_pattern(part)), len(parts))
    hidden = {name[0] for name in path.split("/")[start:] if name.startswith(_HIDDEN)}
    return not hidden <= {part[0] for part in parts[start:] if part}


def _local_files(pattern: str, *, start: str) -> Iterator[tuple[str, int]]:
    """Goes through the directories that may hold files that match, and through links to such.

    Args:
        pattern: What is asked for.
        start: The directory before its first star or the like.

    Yields:
        Of each file that matches: path and bytes.

    Raises:
        StageError: As `match`.
    """
    wanted, leads = re.compile(glob_to_regex(pattern)), _leads_to(pattern)
    pending = [(start, [os.path.realpath(start or ".")])]
    while pending:
        directory, above = pending.pop()
        for entry in _entries(directory, pattern, may_be_missing=directory == start):
            path = directory + entry.name
            may_lead, matches = leads.fullmatch(path), wanted.fullmatch(path)
            if not (may_lead or matches):
                continue
            real = os.path.join(above[-1], entry.name)
            if entry.is_symlink():
                real = os.path.realpath(path)
                if wrong := _what_is_wrong(path, real, above=above):
                    if not is_hidden(path, pattern):
                        raise StageError(f"{path}: {wrong}")
                    continue
            if entry.is_dir():
                pending += [(f"{path}/", [*above, real])] if may_lead else []
            elif entry.is_file() and matches:
                if not _is_utf8(path):  # so that no manifest could have it
                    if is_hidden(path, pattern):
                        continue
                    raise StageError(f"{os.fsencode(path)!r}: expected a name in UTF-8; rename it")
                with suppress(FileNotFoundError):  # removed since it was listed
                    yield path, entry.stat().st_size


def _leads_to(pattern: str) -> re.Pattern[str]:
    """What the path of a directory looks like below which files may match."""
    ends = [found.start() for found in re.finditer(r"/|(?<=\*\*)", pattern)]
    return re.compile("|".join(glob_to_regex(pattern[:end]) for end in ends))


def _entries(directory: str, pattern: str, *, may_be_missing: bool) -> list[os.DirEntry[str]]:
    """What lies in a directory, by name; nothing in a hidden one that can't be listed.

    Raises:
        StageError: If it can't be listed.
    """
    try:
        with os.scandir(directory or ".") as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        bare = directory.rstrip("/")
        if (may_be_missing and isinstance(error, FileNotFoundError)) or is_hidden(bare, pattern):
            return []
        raise StageError(f"{bare}: cannot be listed: {error.strerror}") from error


def _what_is_wrong(path: str, real: str, *, above: list[str]) -> str | None:
    """Why files would be lost by a link, or may be read twice, and what to do; None if neither.

    Args:
        path: The link.
        real: Where it leads.
        above: The directories above it, without links.
    """
    try:
        os.stat(path)
    except OSError as error:
        return (
            f"expected a link to a file or a directory that can be read, but {real}: {error.strerror}; mount, restore "
            "or permit it, or remove the link"
        )
    if any(f"{directory}/".startswith(f"{real.rstrip('/')}/") for directory in above):
        return (
            "expected a link to another place, but it leads back to a directory above it, so that files there could "
            "be read more than once; remove it, or write the glob without it"
        )
    return None


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


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
