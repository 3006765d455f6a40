"""The type that a column is to have, in words, and what to do about one of another type."""

import re

import pyarrow as pa

from features.truth_values import takes_truth_values
from pipelines.aggregation.columns import EVENT, Columns
from stage.errors import StageError

_WHOLE_NUMBERS = (
    "cast whole numbers to int64 where the file is written; pandas makes floats of those with missing values"
)


def type_in_words(field: pa.Field) -> str:
    """What a column holds that is read as this field."""
    if pa.types.is_floating(field.type):
        return "numbers"
    if not pa.types.is_string(field.type):
        return "lists of texts or integers"
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
    is_number = pa.types.is_floating(field.type)
    is_text = re.fullmatch("(large_)?string", found) is not None
    of_calendar = re.match("date|time|local-timestamp", found)
    holds_floats = re.search(r"\b(double|float|halffloat)\b", found) is not None
    if of_calendar is not None:
        wanted = "a timestamp" if is_time else "a number" if is_number else "text"
        return f"cast it to {wanted} where the file is written"
    if is_time:
        return "name its unit, or iso, in sources.interactions.timestamp_unit" if is_text or holds_floats else None
    if key == EVENT:
        return (
            "cast it to text where the file is written; sources.interactions.positive_events names the texts that make "
            "a pair"
        )
    if is_number and is_text:
        return "cast it to a number where the file is written, or give the feature the kind categorical or text"
    if is_text:
        return "split it into a list where the file is written, or give the feature the kind categorical or text"
    is_text_of_feature = ".features." in key and pa.types.is_string(field.type)
    if is_text_of_feature and re.search(r"list<|list_view<|\barray\b", found):
        return "give the feature the kind multivalued"
    if is_text_of_feature and holds_floats:
        return f"give the feature the kind numeric, or {_WHOLE_NUMBERS}"
    return _WHOLE_NUMBERS if holds_floats and not is_number else None
