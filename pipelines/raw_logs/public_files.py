"""Public files as they are downloaded: plain, gzip or xz, a line at a time."""

import gzip
import lzma
import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from stage.errors import StageError


def find_file(directory: str, name: str) -> str | None:
    """Path of a file of a directory, plain or with .gz behind its name; None if it has neither."""
    for candidate in (os.path.join(directory, name), os.path.join(directory, f"{name}.gz")):
        if os.path.isfile(candidate):
            return candidate
    return None


def required_file(directory: str, name: str, *, of: str) -> str:
    """Path of a file that a conversion can't do without.

    Args:
        directory: Where it is looked for.
        name: Its name.
        of: What it is one of.

    Raises:
        StageError: If it isn't there.
    """
    path = find_file(directory, name)
    if path is None:
        raise StageError(f"{directory}: expected {name} or {name}.gz of {of}, found neither")
    return path


def read_lines(path: str) -> Iterator[tuple[int, bytes]]:
    """Reads a file line by line; what it is compressed with is told by its first bytes.

    Yields:
        The line's number, from 1, and the line without its end.

    Raises:
        StageError: If the file isn't there, can't be read, or is cut off.
    """
    try:
        with _open(path) as file:
            for number, line in enumerate(file, start=1):
                yield number, line.rstrip(b"\r\n")
    except FileNotFoundError:
        raise StageError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise StageError(f"{path}: expected a file, got a directory; name the file in it") from None
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise StageError(f"{path}: cut off or damaged, download it again ({error})") from None
    except OSError as error:
        raise StageError(f"{path}: cannot be read: {error.strerror or error}") from None


def _open(path: str) -> BinaryIO:
    with open(path, "rb") as file:
        start = file.read(6)
    if start.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, gzip.open(path, "rb"))
    if start == b"\xfd7zXZ\x00":
        return cast(BinaryIO, lzma.open(path, "rb"))
    return open(path, "rb")
