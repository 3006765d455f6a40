"""How many bytes of JSON lines input files stand for, about: by these a build's memory and shards are reckoned."""

from collections.abc import Collection, Sequence
from contextlib import suppress

import pyarrow.parquet as pq

from pipelines.aggregation.input_files import InputFile
from stage import storage

_COMPRESSION_RATIO = 6
"""JSON lines to their gzip, or to Avro, about."""
PARQUET_RATIO = 10
"""JSON lines to the same rows as Parquet, about: 6 to 15 times with snappy or zstd."""
_CSV_RATIO = 2
"""JSON lines to CSV, about: they name every field."""
_NUMBER_BYTES = 20
"""For a number of a vector. Builds of 26 to 102 M of them in Parquet took 33 to 44 bytes for each, floats or doubles,
and of JSON lines with four decimals 31, which is 4 bytes for each of theirs (one run each)."""
_VECTORS_RATIO = 2
"""A byte of JSON lines with vectors takes a build as much memory as two of others."""


def json_bytes(files: Sequence[InputFile], vectors: Collection[str]) -> int:
    """Of the rows of a source as JSON lines, about.

    Args:
        files: Its files; of Parquet with vectors the first one's footer says what a byte of all of them stands for.
        vectors: Its columns that hold vectors.
    """
    of_lines, of_parquet = (_VECTORS_RATIO, _ratio_by_footer(files, vectors)) if vectors else (1, PARQUET_RATIO)
    return int(sum(_ratio(file, of_lines=of_lines, of_parquet=of_parquet) * file.size for file in files))


def _ratio(file: InputFile, *, of_lines: float, of_parquet: float) -> float:
    if file.format == "parquet":
        return of_parquet
    if file.compression or file.format == "avro":
        return _COMPRESSION_RATIO
    return _CSV_RATIO if file.format == "csv" else of_lines


def _ratio_by_footer(files: Sequence[InputFile], vectors: Collection[str]) -> float:
    """As vectors take it, and the rest as Parquet usually does; of a file that can't be read, all as usual."""
    first = next((file for file in files if file.format == "parquet"), None)
    if first is None:
        return PARQUET_RATIO
    numbers, size = 0, 0
    with suppress(Exception):  # whatever a damaged file or a file system raises: the job says it
        with storage.open_input(first.path) as stream:
            footer = pq.read_metadata(stream)
        for group in map(footer.row_group, range(footer.num_row_groups)):
            for column in map(group.column, range(group.num_columns)):
                if any(column.path_in_schema.startswith(f"{name}.") for name in vectors):
                    numbers += column.num_values
                    size += column.total_compressed_size
    return PARQUET_RATIO + (_NUMBER_BYTES * numbers - PARQUET_RATIO * size) / first.size
