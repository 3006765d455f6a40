"""How much memory this process may still take: what the machine has, and what its container allows."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple


class _Files(NamedTuple):
    """What a version of control groups calls its files, and the page cache in `memory.stat`."""

    limit: str
    usage: str
    cache: tuple[str, str]


_V2 = _Files("memory.max", "memory.current", ("active_file", "inactive_file"))
_V1 = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_active_file", "total_inactive_file"))


def available(root: str = "/") -> int | None:
    """Bytes that this process can still get without swapping; all of the machine's where it doesn't say; None: unknown.

    Args:
        root: Where proc and sys lie.
    """
    known = [size for size in (_of_machine(Path(root)), *_of_groups(Path(root))) if size is not None]
    return min(known, default=None)


def megabytes(size: int) -> str:
    """Bytes in words."""
    return f"{size / 1e6:,.1f} MB"


def _of_machine(root: Path) -> int | None:
    kilobytes = _fields(root / "proc/meminfo").get("MemAvailable:")
    if kilobytes is not None:
        return kilobytes * 1024
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def _of_groups(root: Path) -> Iterator[int | None]:
    """What the group of this process, and each above it, has left. A container may see its own group as the root."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mount, files = (root / "sys/fs/cgroup/memory", _V1) if controllers else (root / "sys/fs/cgroup", _V2)
        inside = PurePosixPath(path.lstrip("/"))
        for group in (inside, *inside.parents):
            yield _left(mount / group, files)


def _left(group: Path, files: _Files) -> int | None:
    """What a group may still take, its page cache counted as free; None where it has no limit."""
    limit, usage = _text(group / files.limit).strip(), _text(group / files.usage).strip()
    if not (limit.isdigit() and usage.isdigit()):
        return None
    statistics = _fields(group / "memory.stat")
    return max(0, int(limit) - int(usage) + sum(statistics.get(name, 0) for name in files.cache))


def _fields(path: Path) -> dict[str, int]:
    """First word of each line -> its number."""
    words = [line.split() for line in _text(path).splitlines()]
    return {name: int(value) for name, value, *_ in (w for w in words if len(w) > 1) if value.isdigit()}


def _text(path: Path) -> str:
    """What a file says; nothing if it isn't there."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
