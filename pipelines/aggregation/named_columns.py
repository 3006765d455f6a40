"""The columns that a source's files name themselves, CSV in a header and Parquet in a schema, held to the spec.

What is wrong there is told before a job starts. Only the first file is looked at for what every file must have, and for
Parquet's types; what some may lack is wrong if all do, which is looked at where they are few. The rest the job finds
out.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

import pyarrow.parquet as pq

from features.spec import Spec
from pipelines.aggregation.absent_columns import optional_log_columns, optional_table_columns
from pipelines.aggregation.batches import Open
from pipelines.aggregation.column_keys import required_log_columns
from pipelines.aggregation.columns import Columns
from pipelines.aggregation.csv_files import read_header
from pipelines.aggregation.input_files import InputFile
from pipelines.aggregation.inputs import Inputs
from pipelines.aggregation.log import log_columns
from pipelines.aggregation.parquet_files import check_types
from pipelines.aggregation.tables import raw_tables
from stage.errors import StageError

_FEW = 16
"""Files that are all looked at where the first one lacks a column."""


def check_named_columns(inputs: Inputs, spec: Spec, *, open_file: Open) -> None:
    """Fails for a column that a source in CSV or Parquet lacks, or that Parquet has in another type.

    Args:
        inputs: The files of a build.
        spec: The dataset's spec.
        open_file: Opens files.

    Raises:
        StageError: Naming the key, the column, the file and the columns or the type that it has; or if a header can't
            be read, or is there though the spec names the columns.
    """
    log = spec.sources.interactions
    _check_headers("interactions", inputs.log[0], open_file=open_file)
    optional = optional_log_columns(log, spec.sides["pair"])
    _check(inputs.log, required_log_columns(log), optional=optional, open_file=open_file)
    _check_types(inputs.log[0], log_columns(spec), open_file=open_file)
    for name, table in raw_tables(spec).items():
        _check_headers(name, inputs.tables[name][0], open_file=open_file)
        optional = optional_table_columns(name, table.source, sides=table.sides)
        _check(inputs.tables[name], {f"sources.{name}.id": table.source.id}, optional=optional, open_file=open_file)
        _check_types(inputs.tables[name][0], table.columns, open_file=open_file)


def _check_headers(name: str, file: InputFile, *, open_file: Open) -> None:
    """Fails for a header in CSV whose columns the spec names, which would be read as a row."""
    if file.dialect is None or file.dialect.names is None:
        return
    with_header = replace(file, dialect=replace(file.dialect, names=None))
    try:
        first = _columns_of(with_header, open_file)
    except StageError:  # a row need not be a header
        return
    if first == file.dialect.names:
        raise StageError(
            f"{file.path}: the first line looks like a header, being equal to sources.{name}.column_names: leave "
            "column_names out"
        )


def _check(
    files: list[InputFile], required: Mapping[str, str], *, optional: Mapping[str, str], open_file: Open
) -> None:
    first = files[0]
    names = _columns_of(first, open_file)
    if names is None:
        return
    for key, column in {**required, **optional}.items():
        if column in names:
            continue
        others = [] if key in required else files[1:]
        if len(others) >= _FEW or any(_may_have(column, file, open_file=open_file) for file in others):
            continue
        where = first.path if not others else f"{first.path} or {len(others)} more"
        none = ", or null if there is none" if re.fullmatch(r"sources\.\w+\.(event|timestamp|title)", key) else ""
        raise StageError(
            f"{key}: expected a column '{column}' in {where}, found {', '.join(names) or 'none'}; "
            f"name the right one in the spec{none}"
        )


def _check_types(file: InputFile, columns: Columns, *, open_file: Open) -> None:
    """Fails for a column of Parquet of a type that can't be taken."""
    if file.format != "parquet":
        return
    try:
        with open_file(file.path) as stream:
            check_types(pq.ParquetFile(stream), columns, path=file.path)
    except StageError:
        raise
    except Exception:  # as in _columns_of
        return


def _may_have(column: str, file: InputFile, *, open_file: Open) -> bool:
    names = _columns_of(file, open_file)
    return names is None or column in names


def _columns_of(file: InputFile, open_file: Open) -> tuple[str, ...] | None:
    """Those that a file names; None if it names none, or can't be read from here."""
    try:
        if file.format == "csv":
            names, size = read_header(file, open_file)
            return names if names or size else None
        if file.format == "parquet":
            with open_file(file.path) as stream:
                return tuple(pq.ParquetFile(stream).schema_arrow.names)
    except StageError:
        raise
    except Exception:  # whatever a file system raises: the job says it, or its workers may read what we may not
        return None
    return None
