"""Whether a directory can be written, found out by a small file."""

import uuid

from stage import storage

PROBE = ".writable-"
"""How the file's name begins. A process that is killed may leave it."""


def check_writable(directory: str) -> None:
    """Fails now, not after hours, if nothing can be written there.

    Raises:
        StageError: If a small file can't be written to the directory.
    """
    path = storage.join(directory, f"{PROBE}{uuid.uuid4().hex[:8]}.tmp")
    storage.write_bytes(path, b"")
    storage.delete(path)
