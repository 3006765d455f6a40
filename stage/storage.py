"""Files on local disk or gs://, which appear whole or not at all."""

import contextlib
import hashlib
import io
import os
import re
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from fnmatch import translate
from typing import IO

from pyarrow import fs

from stage.errors import StageError

EMULATOR = "STORAGE_EMULATOR_HOST"
"""Environment variable that says where an emulator of gs:// is, as http://HOST:PORT."""
_PARTIAL = ".tmp"


def locate(path: str) -> tuple[fs.FileSystem, str]:
    """The file system that a path lies on, and the path there.

    Raises:
        StageError: If no file system takes such a path.
    """
    if "://" not in path:
        return fs.LocalFileSystem(), os.path.abspath(path)
    if path.partition("://")[0] not in ("gs", "file"):
        raise StageError(f"{path}: expected a local path or gs://BUCKET/PATH")
    if path.startswith("gs://") and EMULATOR in os.environ:
        return _emulator(os.environ[EMULATOR]), path.removeprefix("gs://").rstrip("/")
    try:
        return fs.FileSystem.from_uri(path)
    except (ValueError, OSError) as error:
        raise StageError(f"{path}: expected a local path or gs://BUCKET/PATH ({error})") from None


def _emulator(address: str) -> fs.FileSystem:
    """What stands in for gs://, where Google's own client and so Beam look for it too."""
    scheme, _, host = address.rpartition("://")
    return fs.GcsFileSystem(anonymous=True, scheme=scheme or "http", endpoint_override=host.rstrip("/"))


def join(directory: str, *names: str) -> str:
    """Joins with /, on local disk as on gs://."""
    parts = [directory.rstrip("/"), *names] if directory else names
    return "/".join(parts)


def absolute(path: str) -> str:
    """The path, so that it says the same wherever a process stands."""
    return path if "://" in path else os.path.abspath(path)


def read_bytes(path: str) -> bytes:
    """Reads a whole file.

    Raises:
        StageError: If it isn't there or can't be read.
    """
    system, place = locate(path)
    try:
        with system.open_input_stream(place, compression=None) as stream:
            return bytes(stream.read())
    except OSError as error:
        raise StageError(f"{path}: cannot be read: {_reason(error)}") from None


def open_input(path: str) -> IO[bytes]:
    """Opens a file to read its bytes as they are; a context manager.

    Raises:
        OSError: If it isn't there or can't be read.
    """
    system, place = locate(path)
    if isinstance(system, fs.LocalFileSystem):
        return open(place, "rb")
    return io.BufferedReader(system.open_input_file(place))


def match(pattern: str) -> list[tuple[str, int]]:
    """The files that match a glob, in order: path and bytes.

    Args:
        pattern: `*`, `?` and `[a-c]` or `[!a-c]` stay within a directory, `**` goes below it. What is no pattern, such
            as an unclosed bracket, stands for itself, as in fnmatch.

    Raises:
        StageError: If the directory can't be listed.
    """
    fixed = re.split(r"[*?\[]", pattern)[0]
    if fixed == pattern:
        system, place = locate(pattern)
        info = system.get_file_info(place)
        return [(pattern, info.size)] if info.is_file else []
    start = fixed.rfind("/") + 1
    directory = fixed[:start].rstrip("/") or fixed[:start] or "."
    below = "/" in pattern[start:] or "**" in pattern[start:]
    wanted = re.compile(_to_regex(pattern[start:]), re.DOTALL)
    found = sizes(directory, below=below).items()
    return sorted((fixed[:start] + name, size) for name, size in found if wanted.fullmatch(name))


def _to_regex(pattern: str) -> str:
    known = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*|\*|\?|\[!?]?[^]]*])", pattern)
    # fnmatch ends what it makes of a bracket by the end of the text, which are two characters.
    brackets = {part: f"(?!/){translate(part)[:-2]}" for part in parts if part.startswith("[") and part.endswith("]")}
    return "".join((known | brackets).get(part, re.escape(part)) for part in parts)


def write_bytes(path: str, content: bytes) -> None:
    """Writes a file that a reader sees whole or not at all; as `write_file`.

    Raises:
        StageError: If it can't be written.
    """
    write_file(path, lambda file: file.write(content))


def write_file(path: str, write: Callable[[IO[bytes]], object]) -> None:
    """Writes a file bit by bit that a reader sees whole or not at all.

    Local files are written beside their place, flushed to disk and renamed; an object on gs:// appears when its upload
    ends. If `write` fails, what was uploaded becomes an object for a moment, and is deleted.

    Raises:
        StageError: If it can't be written.
    """
    system, place = locate(path)
    try:
        system.create_dir(os.path.dirname(place), recursive=True)
        if isinstance(system, fs.LocalFileSystem):
            _write_local(place, write)
        else:
            _upload(system, place, write=write)
    except OSError as error:
        raise StageError(f"{path}: cannot be written: {_reason(error)}") from None


def _upload(system: fs.FileSystem, place: str, *, write: Callable[[IO[bytes]], object]) -> None:
    stream = system.open_output_stream(place, compression=None)
    try:
        write(stream)
        stream.close()
    except BaseException:  # an interruption too
        with contextlib.suppress(OSError):
            stream.close()
            system.delete_file(place)
        raise


def _write_local(place: str, write: Callable[[IO[bytes]], object]) -> None:
    beside = f"{place}.{uuid.uuid4().hex[:8]}{_PARTIAL}"
    try:
        with open(beside, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, place)
    except BaseException:  # an interruption too
        if os.path.exists(beside):
            os.remove(beside)
        raise


@contextlib.contextmanager
def writable_as_local(directory: str) -> Iterator[str]:
    """A local directory for a library that writes files itself; what it holds at the end lies in `directory`.

    On local disk it is that directory. Else it is a temporary one, uploaded at the end unless an error left it.

    Raises:
        StageError: If a file can't be written.
    """
    if "://" not in directory:
        os.makedirs(directory, exist_ok=True)
        yield directory
        return
    with tempfile.TemporaryDirectory() as local:
        yield local
        for name in sizes(local):
            copy(join(local, name), join(directory, name))


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
        # An OSError from here would be taken for one of writing.
        try:
            return file.read(1 << 24)
        except OSError as error:
            raise StageError(f"{source}: cannot be read: {_reason(error)}") from None

    try:
        file = open_input(source)
    except OSError as error:
        raise StageError(f"{source}: cannot be read: {_reason(error)}") from None
    with file:
        write_file(target, write)


def is_partial(name: str) -> bool:
    """Whether a file is what a killed process left of one that it was writing."""
    return name.endswith(_PARTIAL)


def exists(path: str) -> bool:
    """Whether a file or directory is there."""
    system, place = locate(path)
    return system.get_file_info(place).type != fs.FileType.NotFound


def sizes(directory: str, *, below: bool = True) -> dict[str, int]:
    """Every file below a directory: its path relative to the directory -> bytes; none if there is no directory.

    Args:
        directory: The directory.
        below: Those of the directories in it too.

    Raises:
        StageError: If it can't be listed.
    """
    system, place = locate(directory)
    selector = fs.FileSelector(place, recursive=below, allow_not_found=True)
    start = len(place.rstrip("/")) + 1
    try:
        return {info.path[start:]: info.size for info in system.get_file_info(selector) if info.is_file}
    except OSError as error:
        raise StageError(f"{directory}: cannot be listed: {_reason(error)}") from None


def names(directory: str) -> set[str]:
    """Names of the files and directories that lie right in a directory; none if there is no directory.

    Raises:
        StageError: If it can't be listed.
    """
    if "://" in directory:
        # A directory that no object of its own stands for is in no listing of pyarrow's but the recursive one.
        return {path.split("/")[0] for path in sizes(directory)}
    try:
        return set(os.listdir(directory)) if os.path.isdir(directory) else set()
    except OSError as error:
        raise StageError(f"{directory}: cannot be listed: {_reason(error)}") from None


def sha256(path: str) -> str:
    """SHA-256 of a file, in hex."""
    system, place = locate(path)
    digest = hashlib.sha256()
    with system.open_input_stream(place, compression=None) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def delete(path: str) -> None:
    """Deletes a file or a whole directory, if it is there."""
    system, place = locate(path)
    kind = system.get_file_info(place).type
    if kind == fs.FileType.Directory:
        system.delete_dir(place)
    elif kind == fs.FileType.File:
        system.delete_file(place)


def rename(source: str, target: str) -> None:
    """Renames a local directory in one step.

    Raises:
        StageError: If that can't be, as when the target is there.
    """
    try:
        os.rename(locate(source)[1], locate(target)[1])
    except OSError as error:
        raise StageError(f"{target}: cannot be renamed from {source}: {_reason(error)}") from None


def clear(directory: str, *, keep: str) -> None:
    """Deletes all that lies in a directory but one file, directories too."""
    system, place = locate(directory)
    start = len(place.rstrip("/")) + 1
    below = system.get_file_info(fs.FileSelector(place, recursive=True, allow_not_found=True))
    for name in {info.path[start:].split("/")[0] for info in below} - {keep}:
        delete(join(directory, name))


def check_writable(directory: str) -> None:
    """Fails now, not after hours, if nothing can be written there.

    Raises:
        StageError: If a small file can't be written to the directory.
    """
    probe = join(directory, f".writable-{uuid.uuid4().hex[:8]}{_PARTIAL}")
    write_bytes(probe, b"")
    delete(probe)


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
