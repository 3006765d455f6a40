"""Files of lines as blocks of whole lines, decompressed."""

import bz2
import io
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
from isal import igzip

from features.parsing.utf8 import BOM
from pipelines.aggregation.input_files import FileRange, InputFile
from stage import storage
from stage.errors import StageError

BLOCK_BYTES = 4 << 20
"""Lines are parsed so many bytes at a time."""
MAX_LINE_BYTES = 256 << 20
"""A line is held in memory whole; one that is longer, as of a file that is a single array, fails the build."""
_CHUNK = 1 << 18


def decompress(raw: IO[bytes], compression: str | None) -> IO[bytes]:
    """A file's content, of one compressed member or many, one after another.

    Reading a truncated file, or one with something else behind its last member, raises EOFError or OSError.

    Args:
        raw: The file's bytes.
        compression: gzip, zstd, bz2 or None.
    """
    if compression is None:
        return raw
    if compression == "gzip":
        return igzip.IGzipFile(fileobj=raw, mode="rb")
    if compression == "bz2":
        return io.BufferedReader(_Bz2Members(raw), _CHUNK)
    # zstandard's own reader takes a truncated frame for a whole one.
    return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), compression), _CHUNK)


class _Bz2Members(io.RawIOBase):
    """The content of bzip2 members. bz2's own reader stops at anything behind a member, pyarrow's at an empty one."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw, self._member = raw, bz2.BZ2Decompressor()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            compressed = b""
            if self._member.eof:
                compressed = self._member.unused_data or self._raw.read(_CHUNK)
                if not compressed:
                    return 0
                self._member = bz2.BZ2Decompressor()
            elif self._member.needs_input:
                compressed = self._raw.read(_CHUNK)
                if not compressed:
                    raise EOFError("truncated")
            content = self._member.decompress(compressed, len(buffer))
            if content:
                buffer[: len(content)] = content
                return len(content)


def read_blocks(element: FileRange) -> Iterator[tuple[int, bytes]]:
    """The lines that begin in a range, in blocks of whole lines; a mark of byte order at the file's start is no part.

    Yields:
        (byte of the block's first line in the decompressed file, its bytes).

    Raises:
        EOFError: If the file is truncated, or has become shorter since it was found.
        StageError: If a line is longer than MAX_LINE_BYTES.
    """
    for offset, block in _blocks(element):
        mark = len(BOM) if offset == 0 and block.startswith(BOM) else 0
        yield offset + mark, block[mark:]


def _blocks(element: FileRange) -> Iterator[tuple[int, bytes]]:
    file = element.file
    with storage.open_input(file.path, seeks=element.start > 0) as raw:
        stream = decompress(raw, file.compression)
        offset = element.start
        if offset > 0:
            # The line that runs over the start belongs to the range before.
            stream.seek(offset - 1)
            offset = _skip_line(stream, offset - 1, end=element.end)
        while element.end is None or offset < element.end:
            block = stream.read(BLOCK_BYTES if element.end is None else min(BLOCK_BYTES, element.end - offset))
            if not block:
                check_size(file, offset)
                return
            if not block.endswith(b"\n"):
                begin = block.rfind(b"\n") + 1
                block += read_line(stream, file, offset=offset + begin, taken=len(block) - begin)
            yield offset, block
            offset += len(block)


def check_size(file: InputFile, offset: int) -> None:
    """Fails for a plain file that ends before the bytes that it had when it was found.

    Raises:
        EOFError: If so.
    """
    if file.compression is None and offset < file.size:
        raise EOFError(f"expected {file.size:,} bytes, as it had when the job began, but it has become shorter")


def _skip_line(stream: IO[bytes], offset: int, *, end: int | None) -> int:
    """Where the line ends that a stream stands in, at `offset`; if not before `end`, then some place behind that."""
    while end is None or offset < end:
        part = stream.readline(BLOCK_BYTES)
        offset += len(part)
        if not part or part.endswith(b"\n"):
            break
    return offset


def read_line(stream: IO[bytes], file: InputFile, *, offset: int = 0, taken: int = 0) -> bytes:
    """A line with its newline, or what is left of it.

    Args:
        stream: Stands in the line.
        file: Whose it is.
        offset: Of the line's first byte in the decompressed file.
        taken: How many of its bytes were read before.

    Raises:
        StageError: If the line is longer than MAX_LINE_BYTES.
    """
    parts = []
    while True:
        part = stream.readline(BLOCK_BYTES)
        parts.append(part)
        taken += len(part)
        if taken > MAX_LINE_BYTES:
            raise StageError(_too_long(file, offset))
        if not part or part.endswith(b"\n"):
            return b"".join(parts)


def _too_long(file: InputFile, offset: int) -> str:
    expected = f"{file.path}: byte {offset}: expected a line of up to {MAX_LINE_BYTES >> 20} MiB"
    if file.format == "csv":
        return f"{expected}, found a longer one; write each record on a line of its own"
    return (
        f"{expected}, one JSON object, found a longer one; an array of objects is not read: write each on a line of "
        "its own, as jq -c '.[]' does"
    )
