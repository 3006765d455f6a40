"""The type that a column is to have, in words, and what to do about one of another type."""

import re

import pyarrow as pa

from features.parsing.list_numbers import is_vector
from features.parsing.truth_values import takes_truth_values
from pipelines.aggregation.columns import EVENT, Columns
from stage.errors import StageError


def _lists_of(values: str) -> str:
    item = f"({values}|null)"
    items = rf"(large_|fixed_size_)?list<[^<>]*: ({item}|dictionary<values={item},[^<>]*>)( not null)?>(\[\d+\])?"
    return f"{items}|an array of {item}( or {item})*"


_OF_TEXT = "categorical or text"
_INTEGER = r"u?int\d*|long"
_REAL = r"double|float|halffloat|decimal[^<>]*"
_TEXT = r"(large_)?string|string_view|(large_)?binary|uuid|enum"
_KINDS = {
    _lists_of(_INTEGER): "multivalued or vector",
    _lists_of(f"{_INTEGER}|{_TEXT}"): "multivalued",
    _lists_of(f"{_INTEGER}|{_REAL}"): "vector",
    _INTEGER: "numeric or categorical",
    _REAL: "numeric",
    r"bool(ean)?": "categorical",
    _TEXT: _OF_TEXT,
}
"""A column's type, as Parquet or Avro calls it -> the kinds of features that it fits."""
_WHOLE_NUMBERS = (
    "cast whole numbers to int64 where the file is written; pandas makes floats of those with missing values"
)


def type_in_words(field: pa.Field) -> str:
    """What a column holds that is read as this field."""
    if pa.types.is_floating(field.type):
        return "numbers"
    if pa.types.is_list(field.type):
        return "lists of numbers" if is_vector(field.type) else "lists of texts or integers"
    return "text, integers, true or false" if takes_truth_values(field) else "text or integers"


def wrong_column(path: str, field: pa.Field, *, found: str, columns: Columns) -> StageError:
    """The error for a column that a file's schema gives another type than is wanted.

    Args:
        path: The file.
        field: What the column is read as.
        found: Its type, in the words of the file's format.
        columns: All that are read, of which it is one.
    """
    is_time = field.name == columns.time
    key = columns.keys.get(field.name, "")
    wanted = f"{'times or ' if is_time else ''}{type_in_words(field)}"
    cure = _cure(field, found, is_time=is_time, key=key)
    where = f"column {field.name}{f' ({key})' if key else ''}"
    return StageError(f"{path}: {where}: expected {wanted}, found {found}{f'; {cure}' if cure else ''}")


def _cure(field: pa.Field, found: str, *, is_time: bool, key: str) -> str | None:
    is_number, is_list = pa.types.is_floating(field.type), pa.types.is_list(field.type)
    kinds = _kinds_of(found)
    if kinds and key.startswith("session."):
        kinds = re.sub("( or )?vector", "", kinds)  # which context has none of
    holds_floats = re.search(r"\b(double|float|halffloat)\b", found) is not None
    if re.match("date|time|local-timestamp", found):
        wanted = "a timestamp" if is_time else "a number" if is_number else "text"
        return f"cast it to {wanted} where the file is written"
    if is_time:
        is_read = kinds == _OF_TEXT or holds_floats
        return "name its unit, or iso, in sources.interactions.timestamp_unit" if is_read else None
    if key == EVENT:
        return (
            "cast it to text where the file is written; sources.interactions.positive_events names the texts that make "
            "a pair"
        )
    cures = []
    if ".features." in key and kinds:
        cures.append(f"give the feature the kind {kinds}")
    if kinds == _OF_TEXT:
        to_list = f"split it into a list{' of numbers' if is_vector(field.type) else ''}"
        cures.append(f"{'cast it to a number' if is_number else to_list} where the file is written")
    elif holds_floats and not is_vector(field.type) and is_list == ("list<" in found or "array of" in found):
        cures.append(_WHOLE_NUMBERS)
    return ", or ".join(cures) or None


def _kinds_of(found: str) -> str | None:
    """The kinds of features that a type fits, or all types of a union do."""
    parts = [found] if found.startswith("an array of ") else found.split(" or ")
    kinds = {next((kinds for shape, kinds in _KINDS.items() if re.fullmatch(shape, part)), None) for part in parts}
    return kinds.pop() if len(kinds) == 1 else None
