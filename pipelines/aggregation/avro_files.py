"""Avro: its rows in batches, with the columns and types that JSON lines would give.

A file that ends where a block does can't be told from a whole one: Avro has no footer.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import fastavro
import pyarrow as pa

from features.parsing.list_numbers import is_vector
from features.parsing.truth_values import takes_truth_values
from features.parsing.typed_rows import Row, parse_rows
from pipelines.aggregation.avro_codecs import add_codecs
from pipelines.aggregation.avro_values import read_any_value
from pipelines.aggregation.batches import Batch, rows_per_batch, to_batch
from pipelines.aggregation.blocks import decompress
from pipelines.aggregation.column_types import wrong_column
from pipelines.aggregation.columns import Columns, check_names
from pipelines.aggregation.input_files import InputFile
from stage import storage
from stage.errors import StageError


def read_avro(file: InputFile, columns: Columns) -> Iterator[Batch]:
    """The rows of a file.

    Raises:
        StageError: If it is no whole Avro file of records, a required column isn't there, or a column is there twice,
            or of a type that can't be taken.
    """
    row = 0
    for rows in _read_rows(file, columns):
        yield to_batch(parse_rows(rows, columns.schema, time=columns.time), file, offset=row)
        row += len(rows)


def _read_rows(file: InputFile, columns: Columns) -> Iterator[list[Row]]:
    add_codecs()
    read_any_value()
    with storage.open_input(file.path, seeks=False) as raw:
        try:
            # What is no UTF-8 and no value is told line by line.
            reader = fastavro.reader(decompress(raw, file.compression), handle_unicode_errors="surrogateescape")
            _check_schema(reader.writer_schema, columns, file=file)
            records: Iterator[Any] = iter(reader)
            while rows := list(islice(records, rows_per_batch(columns.schema))):
                yield rows
        except StageError:
            raise
        except Exception as error:  # fastavro raises whatever a broken byte leads to
            said = str(error) or type(error).__name__
            raise StageError(f"{file.path}: cannot be read to its end: {said}") from None


_TEXT = {"string", "uuid", "enum", "int", "long"}
_NUMBER = {"int", "long", "float", "double", "decimal"}
_TIME = {f"{local}timestamp-{unit}" for local in ("", "local-") for unit in ("millis", "micros")}
_CONVERTED = {"uuid", "decimal", "date", "time-millis", "time-micros", *_TIME}
"""Logical types that fastavro makes values of another type of."""
_BUILT_IN = _TEXT | _NUMBER | _CONVERTED | {"boolean", "bytes", "fixed", "array", "map", "record"}


def _check_schema(schema: Any, columns: Columns, *, file: InputFile) -> None:
    """Holds the columns to those that are read, and their types to what `parse_rows` takes of them."""
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise StageError(f"{file.path}: expected records, found Avro of another type")
    check_names([field["name"] for field in schema["fields"]], columns, path=file.path)
    types = {field["name"]: field["type"] for field in schema["fields"]}
    for field in columns.schema:
        if field.name not in types:
            continue
        kinds = _kinds(types[field.name]) - {"null"}
        items = _kinds_of_items(types[field.name]) - {"null"}
        of_items = f"an array of {' or '.join(sorted(items)) or 'null'}"
        if _is_none_of(_wanted(field, columns), kinds):
            found = [*sorted(kinds - {"array"}), *([of_items] if "array" in kinds else [])]
            raise wrong_column(file.path, field, found=" or ".join(found), columns=columns)
        if pa.types.is_list(field.type) and _is_none_of(_NUMBER if is_vector(field.type) else _TEXT, items):
            raise wrong_column(file.path, field, found=of_items, columns=columns)


def _wanted(field: pa.Field, columns: Columns) -> set[str]:
    """The types that a column may have."""
    is_text, is_number = pa.types.is_string(field.type), pa.types.is_floating(field.type)
    wanted = _TEXT if is_text else _NUMBER if is_number else {"array"}
    times = _TIME if field.name == columns.time else set()
    return wanted | times | ({"boolean"} if takes_truth_values(field) else set())


def _is_none_of(wanted: set[str], kinds: set[str]) -> bool:
    """Whether surely no value is of a wanted type; of one that is declared elsewhere nobody knows."""
    return bool(kinds) and kinds <= _BUILT_IN and not kinds & wanted


def _kinds_of_items(schema: Any) -> set[str]:
    """The types that an item may have of the arrays that a value of a schema may be."""
    if isinstance(schema, list):
        return set().union(*(_kinds_of_items(branch) for branch in schema))
    if isinstance(schema, dict):
        return _kinds(schema["items"]) if schema["type"] == "array" else _kinds_of_items(schema["type"])
    return set()


def _kinds(schema: Any) -> set[str]:
    """The types that a value of a schema may have; of one that is declared elsewhere, its name."""
    if isinstance(schema, list):
        return set().union(*(_kinds(branch) for branch in schema))
    if isinstance(schema, dict):
        logical = schema.get("logicalType")
        return {logical} if logical in _CONVERTED else _kinds(schema["type"])
    return {schema}
