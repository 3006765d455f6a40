"""Batches: what reading gives, whatever the format."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.parsing.list_numbers import is_vector
from features.parsing.parsed_lines import BadLine, ParsedLines
from features.places import place
from pipelines.aggregation.input_files import InputFile

ROWS_PER_BATCH = 65_536
"""Of formats that are read by rows."""
_ROWS_WITH_VECTORS = 2_048
"""Of these, if a row has vectors, each of a thousand numbers perhaps, which Python holds in 32 bytes each."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows of a raw file, and the lines that gave none."""

    rows: pa.RecordBatch
    places: npt.NDArray[np.int64]
    bad: list[BadLine]
    first_place: int
    """Place of offset 0 of those in `bad`."""
    blank: int
    file: InputFile

    @property
    def lines(self) -> int:
        """Lines read, blank ones included."""
        return self.rows.num_rows + len(self.bad) + self.blank

    @property
    def nbytes(self) -> int:
        """Of its rows, as Arrow counts them."""
        return self.rows.nbytes


def rows_per_batch(columns: pa.Schema) -> int:
    """How many rows a batch of these columns has, of formats that are read by rows."""
    return min(ROWS_PER_BATCH, _ROWS_WITH_VECTORS) if any(map(is_vector, columns.types)) else ROWS_PER_BATCH


def to_batch(parsed: ParsedLines, file: InputFile, *, offset: int) -> Batch:
    """What parsing gave of a part of a file, where that part begins at an offset: a byte, or a row."""
    first = place(file.number, offset)
    return Batch(
        rows=parsed.rows,
        places=first + parsed.offsets,
        bad=parsed.bad,
        first_place=first,
        blank=parsed.blank,
        file=file,
    )
