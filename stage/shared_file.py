"""One small file that several processes write, each after what it found there.

A plain write can't do that: of two processes that read, think and write, the first one's word is lost.
"""

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stage import storage
from stage.errors import StageError

Change = Callable[[bytes | None], bytes | None]
"""What the file holds, None if it isn't there -> what it is to hold, or None to leave it alone."""

_ATTEMPTS = 20


def change_file(path: str, change: Change) -> None:
    """Changes a file in one step: no other call writes between what `change` was shown and what it gave.

    On local disk it is renamed into place under a lock; on gs:// it is one write that holds only for the generation
    that was read, and `change` is asked again if another came first.

    Args:
        path: On local disk or gs://.
        change: May be called several times.

    Raises:
        StageError: If it can't be read or written.
    """
    if path.startswith("gs://"):
        _change_object(path, change)
        return
    directory, name = os.path.split(storage.resolve(path)[1])
    with locked(directory, name=f".{name}.lock"):
        wanted = change(storage.read_bytes(path) if storage.exists(path) else None)
        if wanted is not None:
            storage.write_bytes(path, wanted)


@contextmanager
def locked(directory: str, *, name: str, refusal: str | None = None) -> Iterator[None]:
    """Holds a lock of a local directory, waiting for who has it, as stderr says; a process that dies lets go of it.

    Args:
        directory: Made if it isn't there.
        name: Of the file that is locked. It stays.
        refusal: What is said where another process has it, instead of waiting.

    Raises:
        StageError: If the file can't be written or locked, or with the refusal.
    """
    path = os.path.join(directory, name)
    try:
        os.makedirs(directory, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise StageError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        _lock(descriptor, path, refusal=refusal)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: str, *, refusal: str | None) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if refusal is not None:
            raise StageError(refusal) from None
        print(f"{path}: another process holds it; waiting until it has ended", file=sys.stderr, flush=True)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        raise StageError(
            f"{path}: cannot be locked: {error.strerror}; expected a file system with locks, such as a local disk"
        ) from None


def _change_object(path: str, change: Change) -> None:
    try:
        from google.api_core.exceptions import GoogleAPIError, NotFound, PreconditionFailed  # noqa: PLC0415
        from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415
        from google.cloud.storage import Client  # noqa: PLC0415
    except ImportError:
        raise StageError(
            f"{path}: expected Google's client, found none: pip install '.[gcp]' in a checkout of ssl-two-tower"
        ) from None

    bucket_name, _, name = path.removeprefix("gs://").partition("/")
    try:
        emulated = storage.EMULATOR in os.environ
        # Objects of a bucket need no project, which the credentials may not name.
        client = Client(project=None, credentials=AnonymousCredentials() if emulated else None)
        bucket = client.bucket(bucket_name)
        for attempt in range(_ATTEMPTS):
            found = bucket.get_blob(name)
            # 0 is that of no object. Taken before the download, which may leave the client's own at None.
            generation = 0 if found is None else int(found.generation)
            try:
                before = None if found is None else found.download_as_bytes(if_generation_match=generation)
                wanted = change(before)
                if wanted is not None:
                    bucket.blob(name).upload_from_string(wanted, if_generation_match=generation)
                return
            except (PreconditionFailed, NotFound):
                time.sleep(min(0.05 * 2**attempt, 2))
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        raise StageError(f"{path}: cannot be changed: {error}") from None
    raise StageError(f"{path}: cannot be changed: others write it all the time; try again")
