"""Arrays as short text, so that every pair's rank fits into a small JSON file."""

import base64
import zlib

import numpy as np
from numpy.typing import NDArray

from stage.errors import StageError

_LEVEL = 9


def pack_numbers(values: NDArray[np.integer]) -> str:
    """Whole numbers from 0 to 65,535 as text."""
    if len(values) and not 0 <= int(values.min()) <= int(values.max()) < 1 << 16:
        raise ValueError(f"expected numbers from 0 to 65,535, got {values.min()} to {values.max()}")
    return _pack(values.astype("<u2").tobytes())


def unpack_numbers(text: str) -> NDArray[np.int64]:
    """What `pack_numbers` was given.

    Raises:
        StageError: If the text isn't its.
    """
    return np.frombuffer(_unpack(text), "<u2").astype(np.int64)


def pack_flags(values: NDArray[np.bool_]) -> str:
    """Flags as text; their number isn't in it."""
    return _pack(np.packbits(values).tobytes())


def unpack_flags(text: str, *, count: int) -> NDArray[np.bool_]:
    """What `pack_flags` was given.

    Raises:
        StageError: If the text isn't its, or holds another number of flags.
    """
    content = np.frombuffer(_unpack(text), np.uint8)
    if len(content) != -(-count // 8):
        raise StageError(f"expected {count} packed flags, found {len(content)} bytes of them")
    return np.unpackbits(content, count=count).astype(bool)


def _pack(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, _LEVEL)).decode()


def _unpack(text: str) -> bytes:
    try:
        return zlib.decompress(base64.b64decode(text, validate=True))
    except (ValueError, zlib.error) as error:
        raise StageError(f"expected packed numbers, found other text ({error})") from None
