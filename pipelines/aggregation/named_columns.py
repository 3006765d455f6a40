"""The columns that a source's files name themselves, CSV in a header and Parquet in a schema, held to the spec.

What is wrong there is told before a job starts. Only the first file is looked at for what every file must have, and for
Parquet's types; what some may lack is warned of, and wrong if all do, which is looked at where they are few. The rest
the job finds out. JSON lines name what each has: of a column that the first ones lack a warning says what they have,
and the error of the job, if all lines lack it, which of theirs is called nearly so.
"""

import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from features.spec.spec import Spec
from pipelines.aggregation.blocks import read_blocks
from pipelines.aggregation.columns import Columns, check_once, names_in_words
from pipelines.aggregation.csv_files import read_header
from pipelines.aggregation.input_files import FileRange, InputFile
from pipelines.aggregation.inputs import Inputs
from pipelines.aggregation.log import log_columns
from pipelines.aggregation.parquet_files import check_types
from pipelines.aggregation.tables import raw_tables
from stage import storage
from stage.errors import StageError, did_you_mean

_FEW = 16
"""Files that are all looked at for a column that some may lack; of more, the first."""
_FIRST_LINES, _FIRST_BYTES = 100, 1 << 20
"""Of JSON lines, what is looked at: a file may be one line, and its objects take ten times their bytes."""


def check_named_columns(inputs: Inputs, spec: Spec) -> dict[str, str]:
    """Fails for a column that a source in CSV or Parquet lacks or has twice, or that Parquet has in another type.

    Says on stderr which column of a feature or title only some of its files lack, and which one the first JSON lines of
    a source lack, if it is an id, the event or the time, or one of theirs has nearly its name.

    Args:
        inputs: The files of a build.
        spec: The dataset's spec.

    Returns:
        Key of the spec -> which column of the first JSON lines is called nearly as its own, as `did_you_mean` words it.

    Raises:
        StageError: Naming the key, the column, the file and the columns or the type that it has; or if a header can't
            be read, or is there though the spec names the columns.
    """
    hints = dict[str, str]()
    tables = {name: (inputs.tables[name], table.columns) for name, table in raw_tables(spec).items()}
    for name, (files, columns) in {"interactions": (inputs.log, log_columns(spec)), **tables}.items():
        _check_header(name, files[0])
        _check_columns(files, columns)
        if files[0].format == "jsonl":
            hints |= _compare_lines(files[0], columns)
    return hints


def _check_header(name: str, file: InputFile) -> None:
    """Fails for a header in CSV whose columns the spec names, which would be read as a row."""
    if file.format != "csv" or file.dialect.names is None:
        return
    with_header = replace(file, dialect=replace(file.dialect, names=None))
    try:
        first = _schema_of(with_header)
    except StageError:  # a row need not be a header
        return
    if first is not None and tuple(first.names) == file.dialect.names:
        raise StageError(
            f"{file.path}: the first line looks like a header, being equal to sources.{name}.column_names: leave "
            "column_names out"
        )


def _check_columns(files: list[InputFile], columns: Columns) -> None:
    """Fails for a column that files lack or have twice, or the first in another type; warns of one that some lack."""
    first = files[0]
    schema = _schema_of(first)
    if schema is None:
        return
    names = schema.names
    for key, column in columns.required.items():
        if column not in names:
            raise _absent(key, columns, where=first.path, names=names)
    others = {key: column for key, column in columns.optional.items() if key not in columns.required}
    looked_at = files if others and len(files) <= _FEW else [first]
    schemas = [schema, *map(_schema_of, looked_at[1:])]
    named = [(file.path, found.names) for file, found in zip(looked_at, schemas, strict=True) if found is not None]
    for path, header in named:
        check_once(header, columns, path=path)
    for key, column in others.items():
        lacking = [(path, header) for path, header in named if column not in header]
        if len(lacking) == len(files):
            where = first.path if len(files) == 1 else f"{first.path} or {len(files) - 1} more"
            raise _absent(key, columns, where=where, names=names)
        if lacking:
            _warn(key, column, lacking=lacking)
    check_types(schema, columns, path=first.path)


def _compare_lines(file: InputFile, columns: Columns) -> dict[str, str]:
    """Says on stderr what the first lines have in place of a column that none of them has; gives the nearest by key."""
    names, hints = _names_in_lines(file), dict[str, str]()
    unread = names.difference(columns.keys)
    for column, key in reversed(columns.keys.items()) if names else ():
        if column not in names:
            hints[key] = did_you_mean(column, unread, otherwise="")
            found = f"; found {names_in_words(sorted(names))}" if key in columns.required else ""
            if said := hints[key] or found:
                lacking = f"none of the first lines of {file.path} has it"
                print(f"warning: {key}: expected a column '{column}', but {lacking}{said}", file=sys.stderr)
    return {key: nearest for key, nearest in hints.items() if nearest}


def _names_in_lines(file: InputFile) -> set[str]:
    """The columns that the first lines have, none if they can't be read from here, which the job says."""
    names = set[str]()
    with suppress(Exception):
        _, block = next(read_blocks(FileRange(file, 0, None)))
        for line in block[:_FIRST_BYTES].splitlines()[:_FIRST_LINES]:  # one that is cut off is no JSON
            with suppress(orjson.JSONDecodeError):
                found = orjson.loads(line)
                names.update(found if isinstance(found, dict) else ())
    return names


def _absent(key: str, columns: Columns, *, where: str, names: Sequence[str]) -> StageError:
    column = {**columns.required, **columns.optional}[key]
    none = ", or null if there is none" if re.fullmatch(r"sources\.\w+\.(event|timestamp|title)", key) else ""
    unread = set(names).difference(columns.keys)
    remedy = did_you_mean(column, unread, otherwise=f"; name the right one in the spec{none}")
    if len(names) == 1 and (other := re.search(r"[;|\t]", names[0])):
        remedy = f"; {other[0]!r} seems to stand between its fields: name it as the source's delimiter"
    if not names:
        remedy = "; its first line is empty: have it name the columns"
    return StageError(f"{key}: expected a column '{column}' in {where}, found {names_in_words(names)}{remedy}")


def _warn(key: str, column: str, *, lacking: list[tuple[str, list[str]]]) -> None:
    """Says on stderr which of a source's files, each with its columns, lack one that others have."""
    path, names = lacking[0]
    more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    print(
        f"warning: {key}: expected a column '{column}' in every file, but it is missing in {path}{more}, whose rows "
        f"are taken without; found {names_in_words(names)}",
        file=sys.stderr,
    )


def _schema_of(file: InputFile) -> pa.Schema | None:
    """The columns that a file names, of type null where it says none; None if it names none, or can't be read here."""
    try:
        if file.format == "csv":
            names, size = read_header(file)
            return pa.schema([(name, pa.null()) for name in names]) if names or size else None
        if file.format == "parquet":
            with storage.open_input(file.path) as stream:
                parquet = pq.ParquetFile(stream)
                found = parquet.schema_arrow
                return found if parquet.metadata.num_rows else pa.schema([(name, pa.null()) for name in found.names])
    except StageError:
        raise
    except Exception:  # whatever a file system raises: the job says it, or its workers may read what we may not
        return None
    return None
