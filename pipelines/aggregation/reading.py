"""Reading raw logs and tables: each file, or range of one, in batches of rows, whatever its format.

How files are opened is the engine's to say.
"""

from collections.abc import Generator, Iterator
from functools import partial

import pyarrow as pa
from isal import igzip_lib

from features.json_lines import parse_lines
from pipelines.aggregation.ahead import one_ahead
from pipelines.aggregation.avro_files import read_avro
from pipelines.aggregation.batches import Batch, Open, to_batch
from pipelines.aggregation.blocks import read_blocks
from pipelines.aggregation.columns import Columns
from pipelines.aggregation.csv_files import read_csv
from pipelines.aggregation.in_threads import InThreads
from pipelines.aggregation.input_files import FileRange, InputFile
from pipelines.aggregation.parquet_files import read_parquet
from stage.errors import StageError


def read_batches(element: FileRange, columns: Columns, *, open_file: Open) -> Iterator[Batch]:
    """The rows of a file range, in batches, of which the next is read while one is worked on.

    Args:
        element: What to read.
        columns: The columns to read.
        open_file: Opens files.

    Raises:
        StageError: If a file is truncated or can't be read, or lacks a required column, naming it.
    """
    return one_ahead(_read(element, columns, open_file=open_file))


def _read(element: FileRange, columns: Columns, *, open_file: Open) -> Generator[Batch]:
    file = element.file
    try:
        if file.format == "parquet":
            yield from read_parquet(file, columns, open_file=open_file)
        elif file.format == "avro":
            yield from read_avro(file, columns, open_file=open_file)
        elif file.format == "csv":
            yield from read_csv(element, columns, open_file=open_file)
        else:
            parts = InThreads[Batch]()
            for offset, block in read_blocks(element, open_file):
                yield from parts.begin(partial(_parse, block, columns.schema, file=file, offset=offset))
            yield from parts.end()
    except (EOFError, OSError, igzip_lib.IsalError, pa.ArrowInvalid) as error:  # type: ignore[misc]  # isal's stub errs
        raise StageError(f"{file.path}: cannot be read to its end: {error or 'truncated'}") from None


def _parse(block: bytes, schema: pa.Schema, *, file: InputFile, offset: int) -> Batch:
    return to_batch(parse_lines(block, schema), file, offset=offset)
