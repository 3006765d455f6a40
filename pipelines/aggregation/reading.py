"""Reading raw logs and tables: each file, or range of one, in batches of rows, whatever its format."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial

import pyarrow as pa
from isal import igzip_lib

from features.parsing.json_lines import parse_lines
from pipelines.aggregation.ahead import one_ahead
from pipelines.aggregation.avro_files import read_avro
from pipelines.aggregation.batches import Batch, to_batch
from pipelines.aggregation.blocks import read_blocks
from pipelines.aggregation.columns import Columns
from pipelines.aggregation.csv_files import read_csv
from pipelines.aggregation.in_threads import InThreads
from pipelines.aggregation.input_files import FileRange, InputFile
from pipelines.aggregation.parquet_files import read_parquet
from stage.errors import StageError
from stage.parquet import reason_of


class Reading:
    """Reads one range after another; while one is begun, the last lines of the one before are parsed."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._parts = InThreads[Batch]()

    def add(self, element: FileRange) -> Iterator[Batch]:
        """The rows of a file range, in batches, of which the next is read while one is worked on; not yet the last.

        Raises:
            StageError: If a file is truncated or can't be read, or lacks a required column, naming it.
        """
        return one_ahead(self._read(element))

    def end(self) -> Iterator[Batch]:
        """The batches that are left."""
        return self._parts.end()

    def _read(self, element: FileRange) -> Generator[Batch]:
        file = element.file
        with _naming(file):
            if file.format == "parquet":
                yield from read_parquet(file, self._columns)
            elif file.format == "avro":
                yield from read_avro(file, self._columns)
            elif file.format == "csv":
                yield from read_csv(element, self._columns)
            else:
                for offset, block in read_blocks(element):
                    yield from self._parts.begin(partial(_parse, block, self._columns.schema, file=file, offset=offset))


def read_batches(element: FileRange, columns: Columns) -> Iterator[Batch]:
    """All rows of one file range, as `Reading` gives them.

    Raises:
        StageError: If a file is truncated or can't be read, or lacks a required column, naming it.
    """
    reading = Reading(columns)
    yield from reading.add(element)
    yield from reading.end()


def _parse(block: bytes, schema: pa.Schema, *, file: InputFile, offset: int) -> Batch:
    with _naming(file):
        return to_batch(parse_lines(block, schema), file, offset=offset)


@contextmanager
def _naming(file: InputFile) -> Iterator[None]:
    """Has errors say which file they are of."""
    try:
        yield
    except (FileNotFoundError, PermissionError) as error:
        raise StageError(f"{file.path}: cannot be read: {error.strerror or error}") from None
    except (EOFError, OSError, igzip_lib.IsalError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:  # type: ignore[misc]  # isal's stub errs
        raise StageError(f"{file.path}: cannot be read to its end: {reason_of(error) or 'truncated'}") from None
