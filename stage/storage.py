"""Files on local disk or gs://, which appear whole or not at all."""

import contextlib
import functools
import hashlib
import io
import os
import re
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import PurePath
from typing import IO

from pyarrow import fs

from stage.errors import StageError, StorageError

EMULATOR = "STORAGE_EMULATOR_HOST"
"""Environment variable that says where an emulator of gs:// is, as http://HOST:PORT."""
GIVE_UP_AFTER = timedelta(minutes=1)
"""Where gs:// doesn't answer. pyarrow tries for 15 minutes, in which no signal reaches Python."""
_PARTIAL = ".tmp"
_COPIED_AT_ONCE = 1 << 24
_MET = re.compile(r".* '(/.*)'\. Detail: ", re.DOTALL)
"""The local path that an error of pyarrow's names last."""
_READ_AHEAD = 1 << 20
"""A seek beyond so many bytes, as from column to column of Parquet, is another request to gs://."""


def resolve(path: str) -> tuple[fs.FileSystem, str]:
    """The file system that a path lies on, and the path there, bare of any scheme.

    Raises:
        StageError: If no file system takes such a path.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        raise StorageError(f"{path!r}: expected a path in UTF-8") from None
    if "://" not in path:
        return fs.LocalFileSystem(), from_root(path)
    scheme, _, rest = path.partition("://")
    if scheme != "gs" or "" in rest.rstrip("/").split("/"):
        raise StageError(f"{path}: expected a local path or gs://BUCKET/PATH")
    return _gcs(os.environ.get(EMULATOR), os.getpid()), rest.rstrip("/")


@functools.cache
def _gcs(emulator: str | None, _process: int) -> fs.FileSystem:
    """gs://, or what stands in for it, where Google's own client and so Beam look for it too.

    One for all paths, since each has connections of its own; another in a forked process, which can't share them.
    """
    if emulator is None:
        return fs.GcsFileSystem(retry_time_limit=GIVE_UP_AFTER)
    scheme, _, host = emulator.rpartition("://")
    return fs.GcsFileSystem(
        anonymous=True,
        scheme=scheme or "http",
        endpoint_override=host.rstrip("/"),
        retry_time_limit=GIVE_UP_AFTER,
    )


def join(directory: str, *names: str) -> str:
    """Joins with /, on local disk as on gs://."""
    parts = [directory.rstrip("/"), *names] if directory else names
    return "/".join(parts)


def from_root(path: str) -> str:
    """The path from the root by its own name, in which links stay, but for those before the last `..`.

    Behind a link `..` is the directory above the one that it leads to: so it is for the shell, and for whoever opens
    the path as it is.
    """
    if "://" in path:
        return path
    parts = path.split("/")
    if ".." not in parts:
        return os.path.abspath(path)
    behind = len(parts) - parts[::-1].index("..")
    return os.path.abspath(os.path.join(os.path.realpath("/".join(parts[:behind])), *parts[behind:]))


def absolute(path: str) -> str:
    """The path, so that it says the same wherever a process stands, and wherever a link on it leads later."""
    return path if "://" in path else os.path.realpath(path)


def is_within(path: str, directory: str) -> bool:
    """Whether a path is a directory or lies below it, by where links lead, or its own name leads through it."""
    wanted = absolute(directory)
    if f"{absolute(path).rstrip('/')}/".startswith(f"{wanted.rstrip('/')}/"):
        return True
    # By whatever name: a link below it leads elsewhere, but goes with it.
    return "://" not in path and any(absolute(str(above)) == wanted for above in PurePath(from_root(path)).parents)


def read_bytes(path: str) -> bytes:
    """Reads a whole file.

    Raises:
        StageError: If it isn't there or can't be read.
    """
    system, bare = resolve(path)
    with _named(path, "read"), system.open_input_stream(bare, compression=None) as stream:
        return bytes(stream.read())


def open_input(path: str, *, seeks: bool = True) -> IO[bytes]:
    """Opens a file to read its bytes as they are; a context manager.

    Args:
        path: Local or on gs://.
        seeks: False: it is read from its start on. Then gs:// is asked once, and other threads go on meanwhile.

    Raises:
        OSError: If it isn't there or can't be read.
    """
    system, bare = resolve(path)
    if isinstance(system, fs.LocalFileSystem):
        return open(bare, "rb")
    stream = system.open_input_file(bare) if seeks else system.open_input_stream(bare, compression=None)
    metadata = stream.metadata() or {}
    # Of what gs:// unpacks on the way, as many bytes would be read as are stored.
    if metadata.get("Content-Encoding") == b"gzip" and b"no-transform" not in metadata.get("Cache-Control", b""):
        raise OSError(
            "expected no Content-Encoding, found gzip, so gs:// unpacks it on the way: remove it by gcloud storage "
            "objects update --clear-content-encoding, and let the name end with .gz"
        )
    return io.BufferedReader(stream, _READ_AHEAD)


def size_of(path: str) -> int | None:
    """The bytes of a file; None if there is none.

    Raises:
        StageError: If a store doesn't answer.
    """
    system, bare = resolve(path)
    with _named(path, "listed"):
        info = system.get_file_info(bare)
    return info.size if info.is_file else None


def write_bytes(path: str, content: bytes) -> None:
    """Writes a file that a reader sees whole or not at all; as `write_file`.

    Raises:
        StageError: If it can't be written.
    """
    write_file(path, lambda file: file.write(content))


def write_file(path: str, write: Callable[[IO[bytes]], object]) -> None:
    """Writes a file bit by bit that a reader sees whole or not at all.

    Local files are written under another name, flushed to disk and renamed; an object on gs:// appears when its upload
    ends. If `write` fails, what was uploaded becomes an object for a moment, and is deleted.

    Raises:
        StageError: If it can't be written.
    """
    system, bare = resolve(path)
    with _named(path, "written"):
        system.create_dir(os.path.dirname(bare), recursive=True)
        if isinstance(system, fs.LocalFileSystem):
            _write_local(bare, write)
        else:
            _upload(system, bare, write=write)


def _upload(system: fs.FileSystem, path: str, *, write: Callable[[IO[bytes]], object]) -> None:
    stream = system.open_output_stream(path, compression=None)
    whole = False
    try:
        write(stream)
        whole = True
        stream.close()
    except BaseException:  # an interruption too, which comes after what `close` did
        if not whole:
            with contextlib.suppress(OSError):
                stream.close()
                system.delete_file(path)
        raise


def _write_local(path: str, write: Callable[[IO[bytes]], object]) -> None:
    beside = f"{path}.{uuid.uuid4().hex[:8]}{_PARTIAL}"
    try:
        with open(beside, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:  # an interruption too
        if os.path.exists(beside):
            os.remove(beside)
        raise


@contextlib.contextmanager
def writable_as_local(directory: str) -> Iterator[str]:
    """A temporary directory for a library that writes files itself; its files appear in `directory` at the end.

    On local disk it lies in that directory, and its files are renamed. Else they are uploaded. Where an error left it
    nothing appears.

    Raises:
        StageError: If a file can't be written.
    """
    below = None if "://" in directory else directory
    if below is not None:
        with _named(below, "written"):
            os.makedirs(below, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", suffix=_PARTIAL, dir=below) as local:
        yield local
        for name in sizes(local):
            written, target = join(local, name), join(directory, name)
            if below is None:
                copy(written, target)
                continue
            with _named(target, "written"):
                os.makedirs(os.path.dirname(target), exist_ok=True)
                os.replace(written, target)


@contextlib.contextmanager
def readable_as_local(directory: str, names: Iterable[str]) -> Iterator[str]:
    """A local directory for a library that reads files itself: that one, or a temporary copy of some of its files.

    Raises:
        StageError: If a file can't be read.
    """
    if "://" not in directory:
        yield directory
        return
    with tempfile.TemporaryDirectory() as local:
        for name in names:
            copy(join(directory, name), join(local, name))
        yield local


def copy(source: str, target: str) -> None:
    """Copies a file, which appears whole or not at all.

    Raises:
        StageError: If it can't be read or written.
    """

    def write(out: IO[bytes]) -> None:
        while content := read():
            out.write(content)

    def read() -> bytes:
        with _named(source, "read"):  # else it would be taken for an error of writing
            return file.read(_COPIED_AT_ONCE)

    with _named(source, "read"):
        file = open_input(source, seeks=False)
    with file:
        write_file(target, write)


def link_or_copy(source: str, target: str) -> None:
    """Gives a local file a second name, or copies it where that can't be, as to another disk.

    Raises:
        StageError: If it can't be read or written.
    """
    bare = resolve(target)[1]
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(bare), exist_ok=True)
        os.link(resolve(source)[1], bare)
        return
    copy(source, target)


def is_partial(name: str) -> bool:
    """Whether a file is what a process writes before it is whole, or a killed one left of that."""
    return any(part.endswith(_PARTIAL) for part in name.split("/"))


def exists(path: str) -> bool:
    """Whether a file or directory is there.

    Raises:
        StageError: If that can't be told.
    """
    system, bare = resolve(path)
    with _named(path, "read"):
        return system.get_file_info(bare).type != fs.FileType.NotFound


def sizes(directory: str, *, below: bool = True) -> dict[str, int]:
    """Every file below a directory: its path relative to the directory -> bytes; none if there is no directory.

    Args:
        directory: The directory.
        below: Those of the directories in it too.

    Raises:
        StageError: If it can't be listed.
    """
    return {name: info.size for name, info in _listed(directory, below=below) if info.is_file}


def _listed(directory: str, *, below: bool) -> list[tuple[str, fs.FileInfo]]:
    """What lies in a directory, by its path relative to the directory."""
    system, bare = resolve(directory)
    selector = fs.FileSelector(bare, recursive=below, allow_not_found=True)
    start = len(bare.rstrip("/")) + 1
    with _named(directory, "listed"):
        try:
            return [(info.path[start:], info) for info in system.get_file_info(selector)]
        except UnicodeDecodeError as error:
            raise StorageError(
                f"{directory}: cannot be listed: expected names in UTF-8, got {error.object!r}; rename it"
            ) from None


def names(directory: str) -> set[str]:
    """Names of the files and directories that lie right in a directory; none if there is no directory.

    Raises:
        StageError: If it can't be listed.
    """
    if "://" in directory:
        # A directory that no object of its own stands for is in no listing of pyarrow's but the recursive one.
        return {path.split("/")[0] for path in sizes(directory)}
    with _named(directory, "listed"):
        return set(os.listdir(directory)) if os.path.isdir(directory) else set()


def sha256(path: str) -> str:
    """SHA-256 of a file, in hex.

    Raises:
        StageError: If it isn't there or can't be read.
    """
    system, bare = resolve(path)
    with _named(path, "read"), system.open_input_stream(bare, compression=None) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def delete(path: str) -> None:
    """Deletes a file or a whole directory, if it is there.

    Raises:
        StageError: If it can't be deleted.
    """
    system, bare = resolve(path)
    with _named(path, "deleted"):
        kind = system.get_file_info(bare).type
        if kind == fs.FileType.Directory:
            # On gs:// no object need stand for a directory; pyarrow misses it once all that lay there is deleted.
            with contextlib.suppress(FileNotFoundError):
                system.delete_dir(bare)
        elif kind == fs.FileType.File:
            system.delete_file(bare)


def rename(source: str, target: str) -> None:
    """Renames a local directory in one step.

    Raises:
        StageError: If that can't be, as when the target is there.
    """
    with _named(target, f"renamed from {source}"):
        os.rename(resolve(source)[1], resolve(target)[1])


def clear(directory: str, *, keep: str) -> None:
    """Deletes all that lies in a directory but one file, directories too.

    Raises:
        StageError: If it can't be listed, or anything can't be deleted.
    """
    for name in {path.split("/")[0] for path, _ in _listed(directory, below=True)} - {keep}:
        delete(join(directory, name))


@contextlib.contextmanager
def _named(path: str, done: str) -> Iterator[None]:
    """Says of an error of the system what couldn't be done to which file, and where it met it, as below a directory."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        met = _MET.match(str(error)) if error.errno else None
        where = f" ({met[1]})" if met and met[1] != resolve(path)[1] else ""
        raise StorageError(f"{path}: cannot be {done}: {reason}{where}") from None
