"""What parsing gives, whatever the format: rows where a line is good, and each line that is none."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

WRONG_TYPE = "wrong_type"


@dataclass(frozen=True)
class BadLine:
    """A line that gives no row."""

    offset: int
    """Where it begins: its byte in the block, or its number among the rows of a format that has no bytes."""
    reason: str
    content: bytes


@dataclass(frozen=True)
class ParsedLines:
    """What a block of lines says."""

    rows: pa.RecordBatch
    """One row per good line, in order, with the columns that were asked for."""
    offsets: npt.NDArray[np.int64]
    """Where each row's line begins, as in `BadLine`."""
    bad: list[BadLine]
    blank: int
    """Lines that are empty, or white space alone."""


def wrong_type(column: str) -> str:
    """The reason to reject a line for a value of another type than its column's; of several columns the first."""
    return f"{WRONG_TYPE} ({in_reason(column)})"


def in_reason(column: str) -> str:
    """A column as a reason names it: without tabs, which stand between the parts of a count's name."""
    return column.replace("\t", " ")


def filled_lines(
    as_bytes: npt.NDArray[np.uint8], newlines: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """The lines of a block that aren't empty.

    Args:
        as_bytes: The block.
        newlines: Where its lines end, [n].

    Returns:
        Where each begins, and where it ends, its newline and the carriage return before that left out; and how many
        are empty.
    """
    starts = np.append(0, newlines[:-1] + 1)[: len(newlines)]
    ends = newlines - ((newlines > starts) & (as_bytes[newlines - 1] == ord("\r")))
    filled = ends > starts
    return starts[filled], ends[filled], int(np.count_nonzero(~filled))


def no_rows(columns: pa.Schema) -> pa.RecordBatch:
    """A batch of these columns without a row."""
    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in columns], schema=columns)
