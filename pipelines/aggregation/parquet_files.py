"""Parquet: its rows in batches, with the columns and types that JSON lines would give."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.parsing.list_numbers import DOUBLES, is_vector
from features.parsing.parsed_lines import BadLine, ParsedLines
from features.parsing.truth_values import takes_truth_values
from features.parsing.utf8 import odd_rows
from features.row_content import content_of
from pipelines.aggregation.batches import Batch, rows_per_batch, to_batch
from pipelines.aggregation.column_types import wrong_column
from pipelines.aggregation.columns import Columns, check_names
from pipelines.aggregation.input_files import InputFile
from stage import storage

_TEXTS = (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary())
"""Bytes that aren't said to be text included, as some writers leave their texts."""


def read_parquet(file: InputFile, columns: Columns) -> Iterator[Batch]:
    """The rows of a file.

    Raises:
        StageError: If a required column isn't there, or a column is there twice, or of a type that can't be taken.
    """
    with storage.open_input(file.path) as stream:
        parquet = pq.ParquetFile(stream)
        names = parquet.schema_arrow.names
        check_names(names, columns, path=file.path)
        if parquet.metadata.num_rows:
            check_types(parquet.schema_arrow, columns, path=file.path)
        row = 0
        present = [name for name in columns.schema.names if name in names]
        for groups in _groups_at_once(parquet, present):
            found = parquet.iter_batches(rows_per_batch(columns.schema), row_groups=groups, columns=present)
            for batch in found:
                yield to_batch(_only_utf8(_conform(batch, columns)), file, offset=row)
                row += batch.num_rows


def _groups_at_once(parquet: pq.ParquetFile, columns: list[str]) -> list[list[int]]:
    """Row groups that batches may cross: all, but none where lists hold a dictionary, of which each has its own."""
    groups = list(range(parquet.num_row_groups))
    kinds = (parquet.schema_arrow.field(name).type for name in columns)
    if any(_is_list(kind) and pa.types.is_dictionary(kind.value_type) for kind in kinds):
        return [[group] for group in groups]
    return [groups]


def check_types(schema: pa.Schema, columns: Columns, *, path: str) -> None:
    """Holds the columns that a file has to the types that can be taken.

    Raises:
        StageError: Naming the first column of another type.
    """
    types = {field.name: _decoded(field.type) for field in schema}
    for field in columns.schema:
        kind = types.get(field.name, pa.null())
        is_time = field.name == columns.time and pa.types.is_timestamp(kind)
        if not (is_time or pa.types.is_null(kind) or _fits(kind, field)):
            raise wrong_column(path, field, found=str(kind), columns=columns)


def _conform(batch: pa.RecordBatch, columns: Columns) -> pa.RecordBatch:
    """The batch with the columns and types that JSON lines would give; integers and times keep their type."""
    arrays = []
    for field in columns.schema:
        if field.name not in batch.schema.names:
            arrays.append(pa.nulls(batch.num_rows, field.type))
            continue
        column = batch.column(field.name)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        is_time = field.name == columns.time and pa.types.is_timestamp(column.type)
        arrays.append(column if is_time else _convert(column, field.type))
    return pa.RecordBatch.from_arrays(arrays, names=columns.schema.names)


def _convert(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    if pa.types.is_floating(wanted) and pa.types.is_integer(column.type):
        return _to_integers(column)
    if is_vector(wanted) and not pa.types.is_floating(column.type.value_type):
        column = column.cast(DOUBLES, safe=False)
    # What is no UTF-8 is told line by line.
    return column.cast(options=pc.CastOptions(wanted, allow_invalid_utf8=True))


def _decoded(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _fits(kind: pa.DataType, field: pa.Field) -> bool:
    """Whether a column of a type can be taken for a field."""
    if pa.types.is_string(field.type):
        is_truth = pa.types.is_boolean(kind) and takes_truth_values(field)
        return kind in _TEXTS or pa.types.is_integer(kind) or is_truth
    if pa.types.is_floating(field.type):
        return _is_number(kind)
    holds = _holds_numbers if is_vector(field.type) else _holds_texts
    return _is_list(kind) and holds(kind.value_type)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _holds_texts(kind: pa.DataType) -> bool:
    """Whether values of lists are texts, integers, or missing throughout."""
    kind = _decoded(kind)
    return kind in _TEXTS or pa.types.is_integer(kind) or pa.types.is_null(kind)


def _holds_numbers(kind: pa.DataType) -> bool:
    """Whether values of lists are numbers, or missing throughout."""
    return _is_number(kind) or pa.types.is_null(kind)


def _to_integers(column: pa.Array) -> pa.Array:
    """As int64; as float64 where some are beyond it."""
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column.cast(pa.float64(), safe=False)


def _only_utf8(rows: pa.RecordBatch) -> ParsedLines:
    """The rows whose texts are UTF-8, and the others: a Parquet file is read, and its texts taken as they are."""
    numbers = np.arange(rows.num_rows, dtype=np.int64)
    odd = odd_rows(rows)
    if odd is None:
        return ParsedLines(rows, numbers, [], 0)
    content = content_of(rows.filter(pa.array(odd)))
    bad = [BadLine(number, "invalid_utf8", said) for number, said in zip(numbers[odd].tolist(), content, strict=True)]
    return ParsedLines(rows.filter(pa.array(~odd)), numbers[~odd], bad, 0)
