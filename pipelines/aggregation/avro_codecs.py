"""Snappy and Zstandard for fastavro, which reads them only with libraries that nothing else here needs."""

import io
import zlib
from collections.abc import Callable
from typing import IO

import pyarrow as pa
from fastavro.read import BLOCK_READERS


def add_codecs() -> None:
    """Makes fastavro read blocks that are so compressed."""
    BLOCK_READERS["snappy"] = _block_reader(_from_snappy)
    BLOCK_READERS["zstandard"] = _block_reader(_from_zstandard)


def _block_reader(decompress: Callable[[bytes], bytes]) -> Callable[[IO[bytes]], IO[bytes]]:
    def read(stream: IO[bytes]) -> IO[bytes]:
        zigzag = _varint(stream)
        size = (zigzag >> 1) ^ -(zigzag & 1)
        compressed = stream.read(size)
        if size < 0 or len(compressed) < size:
            raise EOFError("truncated")
        return io.BytesIO(decompress(compressed))

    return read


def _varint(stream: IO[bytes]) -> int:
    value = shift = 0
    while byte := stream.read(1):
        value |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            return value
    raise EOFError("truncated")


def _from_snappy(block: bytes) -> bytes:
    """A raw snappy block, which begins with its length, and the CRC-32 of what it holds."""
    compressed, checksum = block[:-4], block[-4:]
    content: bytes = pa.Codec("snappy").decompress(compressed, _varint(io.BytesIO(compressed)), asbytes=True)
    if zlib.crc32(content) != int.from_bytes(checksum, "big"):
        raise ValueError("the checksum of a block is another")
    return content


def _from_zstandard(block: bytes) -> bytes:
    return bytes(pa.CompressedInputStream(pa.BufferReader(block), "zstd").read())
