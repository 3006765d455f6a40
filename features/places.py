"""Where a line stands, in one integer: the number of its file, and its byte (or row, in Parquet and Avro) there."""

OFFSET_BITS = 40
"""Files of up to 1 TiB, once decompressed; 8 million files."""


def place(file: int, offset: int) -> int:
    """The place of a byte or row of a file."""
    return (file << OFFSET_BITS) + offset


def locate(packed: int) -> tuple[int, int]:
    """Takes a place apart: file and offset."""
    return divmod(packed, 1 << OFFSET_BITS)
