"""The columns that are read of the log or a table, and which keys of the spec name them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from features.spec.features import Side, columns_read
from stage.errors import StageError, did_you_mean

EVENT = "sources.interactions.event"
"""The key of the event's column."""


@dataclass(frozen=True)
class Columns:
    """What is read of each row."""

    schema: pa.Schema
    """string, float64, list<string> or list<float32> each."""
    required: Mapping[str, str]
    """Key of the spec -> the column that it names, of those that no file may lack; JSON lines have no schema, so there
    each line is held to it, but for the time, which is in `optional` too."""
    time: str | None = None
    """The one that Parquet, Avro and BigQuery may hold as timestamps."""
    optional: Mapping[str, str] = field(default_factory=dict)
    """Key of the spec -> the column that it names, of those that a line may lack, the time among them."""

    @property
    def keys(self) -> dict[str, str]:
        """Column -> the first key of the spec that names it, for errors."""
        return {column: key for key, column in reversed({**self.required, **self.optional}.items())}


def feature_keys(key: str, side: Side) -> dict[str, str]:
    """Key of each feature below that of its side -> the column that it names."""
    return {name: column for name, (column, _) in columns_read(key, side).items()}


def check_names(names: Sequence[str], columns: Columns, *, path: str) -> None:
    """Holds the names of a file's columns to what is read of it.

    Raises:
        StageError: If a required column isn't there, or one that is read is there twice.
    """
    missing = [(key, name) for key, name in columns.required.items() if name not in names]
    if missing:
        key, name = missing[0]
        nearest = did_you_mean(name, set(names).difference(columns.keys), otherwise="")
        raise StageError(f"{path}: expected a column {name} ({key}), found {names_in_words(names)}{nearest}")
    check_once(names, columns, path=path)


def check_once(names: Sequence[str], columns: Columns, *, path: str) -> None:
    """Fails if a file has a column twice that is read of it.

    Raises:
        StageError: Naming the first of them.
    """
    twice = [name for name in columns.schema.names if names.count(name) > 1]
    if twice:
        raise StageError(f"{path}: expected one column {twice[0]}, found {names_in_words(names)}")


def names_in_words(names: Iterable[str]) -> str:
    """The columns that were found, for errors; one without a name, as of an index that pandas wrote, is `''`."""
    return ", ".join(name or "''" for name in names) or "none"
