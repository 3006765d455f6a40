"""Reading raw logs and tables in Beam: files through its FileSystems, ranges side by side."""

from collections.abc import Iterable
from typing import IO

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipelines.aggregation.reading import Batch, FileRange, read_batches


def match_files(pattern: str) -> list[tuple[str, int]]:
    """The files that match a glob: path and bytes."""
    return [(found.path, found.size_in_bytes) for found in FileSystems.match([pattern])[0].metadata_list]


def open_file(path: str) -> IO[bytes]:
    """Opens a file to read its bytes as they are."""
    stream: IO[bytes] = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return stream


class ReadBatches(beam.DoFn):
    """File range -> batches of its rows.

    Raises:
        StageError: If a file is truncated or can't be read, or lacks a required column, naming it.
    """

    def __init__(self, columns: pa.Schema, *, required: list[str], time: str | None = None) -> None:
        """Takes the columns to read, those that no file may lack, and the one that Parquet may hold as timestamps."""
        self._columns, self._required, self._time = columns, required, time

    def process(self, element: FileRange) -> Iterable[Batch]:
        """Reads the range."""
        return read_batches(element, self._columns, required=self._required, time=self._time, open_file=open_file)
