"""pyarrow's reader of JSON objects, held to given columns: bytes in, rows or its verdict out."""

import re

import pyarrow as pa
import pyarrow.json as pj

from features.parsing.list_numbers import DOUBLES, is_vector
from features.parsing.parsed_lines import no_rows, wrong_type
from features.parsing.truth_values import takes_truth_values

_TEXTS = pa.list_(pa.string())
_IN_LIST = "/[]"
_TYPE_ERROR = re.compile(r"Column\(/(.*?)\) changed from (\S+) to (\S+)")


def try_read(objects: pa.Buffer, columns: pa.Schema, *, expected: int) -> pa.RecordBatch | None:
    """Reads objects, white space between them.

    Args:
        objects: Each begins with `{` and ends with `}`. Texts may hold what is no UTF-8, and will then in the rows.
        columns: string, float64, list<string> or list<float32>; others are ignored, missing ones are null.
        expected: How many objects these are.

    Returns:
        A row for each, or None if they aren't so many, or any is no object or has a column of another type.
    """
    if not expected:
        return no_rows(columns)
    try:
        rows = _read(objects, columns)
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return None
    return rows if rows.num_rows == expected else None


def read_alone(line: bytes, columns: pa.Schema) -> pa.RecordBatch | str:
    """The one row of a line, or why there is none: not_json, `wrong_type` or invalid_utf8."""
    try:
        rows = _read(pa.py_buffer(line), columns)
    except UnicodeDecodeError:
        # pyarrow's message would quote what is no UTF-8.
        return "invalid_utf8"
    except pa.ArrowInvalid as error:
        found = _TYPE_ERROR.search(str(error))
        return wrong_type(found[1].removesuffix(_IN_LIST)) if found else "not_json"
    return rows if rows.num_rows == 1 else "not_json"


def _read(objects: pa.Buffer, columns: pa.Schema) -> pa.RecordBatch:
    """What pyarrow reads, with integers or truth values as text in a column of text, or lists, that holds nothing else.

    Raises:
        pa.ArrowInvalid: If any object is no JSON, or of other types.
        UnicodeDecodeError: If pyarrow's message would quote what is no UTF-8.
    """
    types = pa.schema([field.with_type(DOUBLES) if is_vector(field.type) else field for field in columns])
    while True:
        try:
            return _read_as(objects, types).cast(columns)
        except pa.ArrowInvalid as error:
            types = _with_other_type(types, columns, error=error)


def _with_other_type(types: pa.Schema, columns: pa.Schema, *, error: pa.ArrowInvalid) -> pa.Schema:
    """The types with another one for a column of texts, or of lists of texts, if that is what pyarrow stumbled over.

    Raises:
        pa.ArrowInvalid: The error, if it is another, or such a column holds texts too.
    """
    found = _TYPE_ERROR.search(str(error))
    if found is None or found[2] != "string":
        raise error
    # Both may be columns, the one a list, the other called so.
    kinds = {found[1].removesuffix(_IN_LIST): _TEXTS, found[1]: pa.string()}
    name = next((name for name, kind in kinds.items() if name in types.names and types.field(name).type == kind), None)
    if name is None:
        raise error
    # Perhaps the ids of this log are integers throughout.
    if found[3] == "number":
        other = pa.int64()
    elif found[3] == "boolean" and takes_truth_values(columns.field(name)):
        other = pa.bool_()
    else:
        raise error
    return types.set(types.get_field_index(name), pa.field(name, other if name == found[1] else pa.list_(other)))


def _read_as(objects: pa.Buffer, columns: pa.Schema) -> pa.RecordBatch:
    table = pj.read_json(
        pa.BufferReader(objects),
        read_options=pj.ReadOptions(use_threads=False, block_size=objects.size + 1),
        parse_options=pj.ParseOptions(explicit_schema=columns, unexpected_field_behavior="ignore"),
    )
    arrays = [table.column(field.name).combine_chunks() for field in columns]
    return pa.RecordBatch.from_arrays(arrays, schema=columns)
