"""Where a line stands, in one integer: the number of its file, and its byte (or row, in Parquet) there."""

from dataclasses import dataclass

OFFSET_BITS = 40
"""Files of up to 1 TiB, once decompressed; 8 million files."""


def place(file: int, offset: int) -> int:
    """The place of a byte or row of a file."""
    return (file << OFFSET_BITS) + offset


@dataclass(frozen=True)
class Place:
    """A place taken apart."""

    file: int
    offset: int


def locate(packed: int) -> Place:
    """Takes a place apart."""
    return Place(packed >> OFFSET_BITS, packed & ((1 << OFFSET_BITS) - 1))
