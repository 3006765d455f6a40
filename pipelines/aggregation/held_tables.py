"""Tables that stay where they are, while their names are shuffled in their place: for steps that share a process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

_NAME = b"held"
"""How each name begins; no packed table does."""


class _HeldTables:
    """What a job holds until its end, since nothing tells which table is read no more."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes
        self._tables: dict[bytes, pa.Table] = {}
        self._lock = threading.Lock()

    def hold(self, table: pa.Table) -> bytes | None:
        with self._lock:
            if table.nbytes > self._left:
                return None
            self._left -= table.nbytes
            name = _NAME + len(self._tables).to_bytes(8, "big")
            self._tables[name] = table
            return name

    def find(self, name: bytes) -> pa.Table:
        return self._tables[name]


_JOBS: list[_HeldTables] = []
"""Of the job that runs in this process, if there is one."""


@contextmanager
def holding_tables(most_bytes: int) -> Iterator[None]:
    """Meanwhile tables are held, in all threads of this process, up to so many bytes."""
    _JOBS.append(_HeldTables(most_bytes))
    try:
        yield
    finally:
        _JOBS.pop()


def hold(table: pa.Table) -> bytes | None:
    """The name of a table that is held until the job's end; None: it has to travel itself.

    Args:
        table: No small slice of a large one, which counts few bytes but keeps all.
    """
    return _JOBS[-1].hold(table) if _JOBS else None


def find_held(packed: bytes) -> pa.Table | None:
    """The held table of this name; None: it is no name."""
    return _JOBS[-1].find(packed) if _JOBS and packed.startswith(_NAME) else None
