"""`--raw`: the directory that the spec's relative paths lie under."""

import os

from features.spec.sources import Sources
from stage import storage
from stage.errors import StageError, UsageError
from stage.globs import is_pattern
from stage.manifest import NAME
from stage.output import is_unfinished


def below_raw(raw: str | None, pattern: str, *, key: str) -> str:
    """A glob with the raw directory before it, unless it is absolute or a URL.

    Raises:
        UsageError: If it needs a raw directory, and none is named, or a file: naming the pattern's key in the spec, or
            --raw.
        StageError: If the directory isn't there, as a disk that is mounted late: whoever tries again may find it.
    """
    if is_absolute(pattern):
        return pattern
    if raw is None:
        raise UsageError(f"{key}: '{pattern}' is relative, so --raw must say to which directory")
    if is_pattern(raw):
        raise UsageError(f"--raw: expected a path without *, ? and [, which stand for a glob, got {raw}")
    # On gs:// no object need stand for a directory.
    if "://" not in raw and not os.path.isdir(raw):
        if os.path.exists(raw):
            raise UsageError(f"--raw: expected a directory, {raw} is a file")
        raise StageError(f"--raw: expected a directory, {raw} is not there")
    return storage.join(raw, pattern)


def check_raw(raw: str | None, sources: Sources) -> None:
    """Fails before anything starts where a raw directory isn't there; without one whoever needs it says so.

    Raises:
        StageError: As `below_raw`, if a path of the spec is relative to it.
    """
    for name, source in sources.by_name.items():
        if raw is not None and source.path is not None:
            below_raw(raw, source.path, key=f"sources.{name}.path")


def refuse_unfinished_raw(raw: str | None, sources: Sources) -> None:
    """Refuses a raw directory that `convert` or `generate` has begun and not finished, if a path of the spec needs it.

    Raises:
        StageError: If it is one.
    """
    if raw is None or all(source.path is None or is_absolute(source.path) for source in sources.by_name.values()):
        return
    storage.resolve(raw)  # an unknown file system is told by the name that was given
    if is_unfinished(raw):
        raise StageError(
            f"--raw: expected finished raw logs, but {raw} has no {NAME}: convert or generate has left it unfinished "
            "or still writes it; make it again, or wait until it is made"
        )


def is_absolute(pattern: str) -> bool:
    """Whether a glob needs no raw directory."""
    return "://" in pattern or pattern.startswith("/")
