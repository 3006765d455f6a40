"""TFRecord frames, and digests of records that don't depend on their order."""

import hashlib
import struct
from collections.abc import Iterable, Sequence

import google_crc32c
import numpy as np

_MASK_DELTA = 0xA282EAD8
_MODULUS = 1 << 256


def frame_records(records: Sequence[bytes]) -> bytes:
    """Frames records as a TFRecord file holds them: length, masked CRC32C of it, the record, masked CRC32C of it."""
    headers: dict[int, bytes] = {}
    parts: list[bytes] = []
    for record in records:
        length = len(record)
        header = headers.get(length)
        if header is None:
            packed = struct.pack("<Q", length)
            header = headers[length] = packed + _masked_crc(packed)
        parts += (header, record, _masked_crc(record))
    return b"".join(parts)


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return ((((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF).to_bytes(4, "little")


def digest_records(records: Iterable[bytes]) -> int:
    """The sum of the records' SHA-256 modulo 2^256: equal for equal records in any order, and added up over parts."""
    sha256 = hashlib.sha256
    digests = b"".join([sha256(record).digest() for record in records])
    words = np.frombuffer(digests, ">u4").reshape(-1, 8).astype(np.uint64).sum(axis=0)
    return sum(int(word) << (32 * (7 - place)) for place, word in enumerate(words)) % _MODULUS


def add_digests(digests: Iterable[int]) -> int:
    """The digest of all the records out of those of their parts."""
    return sum(digests) % _MODULUS


def digest_text(digest: int) -> str:
    """A digest of records in hex."""
    return f"{digest:064x}"
