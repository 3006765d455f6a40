"""The section `sources` of the spec: where the log and the tables lie, and how they are written."""

import posixpath
import re
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Literal, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, model_validator

from features.spec.section import Fraction, Section
from stage.errors import did_you_mean

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
ItemJoin: TypeAlias = Literal["auto", "side_input", "shuffle"]


class Pseudonymise(Section):
    """Replaces ids by a keyed hash when they are read. The key itself never reaches a manifest."""

    columns: Annotated[list[Literal["query_id", "item_id"]], Field(min_length=1)] = ["query_id"]
    """Which ids are replaced, in the log and in the tables."""
    key_env: str | None = None
    """Environment variable that holds the key."""
    key_file: str | None = None
    """File that holds the key; one newline at its end is no part of it."""

    @model_validator(mode="after")
    def _one_key(self) -> "Pseudonymise":
        if (self.key_env is None) == (self.key_file is None):
            raise ValueError("expected exactly one of key_env and key_file")
        return self

    @model_validator(mode="after")
    def _ids_are_replaced_once(self) -> "Pseudonymise":
        _check_each_once("columns", self.columns)
        return self


Format: TypeAlias = Literal["jsonl", "csv", "parquet", "avro"]
FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet",
    ".avro": "avro",
}  # fmt: skip
"""Ending of a file's name, without that of a compression -> its format."""
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
"""Ending of a file's name -> how it is compressed."""


class Source(Section):
    """Where a log or a table lies, and in which format."""

    path: str | None = None
    """Glob; relative to --raw, or absolute, or gs://. Or a table of BigQuery: bq://PROJECT.DATASET.TABLE."""
    query: str | None = None
    """In place of path: a query in BigQuery's standard SQL. It may hold {data_start} and {data_end}."""
    format: Literal["auto", Format] = "auto"
    """`auto` goes by the file name's ending."""
    delimiter: Annotated[str, Field(pattern=r"^[\t -!#-~]$")] | None = None
    """CSV: the character between fields; by default a comma, in .tsv a tab."""
    column_names: Annotated[list[str], Field(min_length=1)] | None = None
    """CSV: the columns of files without a header."""
    list_separator: Annotated[str, Field(min_length=1)] | None = None
    """CSV: what stands between the values of a multivalued column, or the numbers of a vector without brackets."""
    # Written only if there are some, so that what was built before there was this key stays done.
    null_values: list[Annotated[str, Field(min_length=1)]] = Field(default=[], exclude_if=lambda values: not values)
    """CSV: fields that are missing values, as databases write them, such as NULL; an empty field always is."""
    quoted_newlines: bool = True
    """CSV: whether quoted fields may hold newlines. If not, a large file is read in ranges, side by side."""

    def format_of(self, path: str) -> Format | None:
        """The format of a file, or of those that a glob matches; None where its name doesn't say it."""
        return FORMATS.get(endings(path)[1]) if self.format == "auto" else self.format

    @property
    def is_bigquery(self) -> bool:
        """Whether BigQuery is read, not files."""
        return self.query is not None or (self.path or "").startswith("bq://")

    @model_validator(mode="after")
    def _one_place(self) -> "Source":
        if (self.path is None) == (self.query is None):
            raise ValueError("expected exactly one of path and query")
        if self.is_bigquery and self.format != "auto":
            raise ValueError(f"format: expected auto for what BigQuery holds, got {self.format}")
        if self.path is not None and self.is_bigquery and not re.fullmatch(r"bq://[\w.:-]+\.\w+\.[\w $-]+", self.path):
            raise ValueError(f"path: expected bq://PROJECT.DATASET.TABLE, got {self.path}")
        return self

    @model_validator(mode="after")
    def _csv_keys_go_with_csv(self) -> "Source":
        _check_each_once("column_names", self.column_names or [])
        if self.is_bigquery or self.format_of(self.path or "") not in (None, "csv"):
            for key in ("delimiter", "column_names", "list_separator", "null_values", "quoted_newlines"):
                if getattr(self, key) != Source.model_fields[key].default:
                    raise ValueError(f"{key}: goes with CSV alone")
        return self


class InteractionSource(Source):
    """The log: one line per interaction of a query with an item."""

    query_id: str = "query_id"
    """Column of the query's id."""
    item_id: str = "item_id"
    """Column of the item's id."""
    event: str | None = "event"
    """Column of the kind of event; null: every line is positive."""
    timestamp: str | None = None
    """Column of the time; null: the log has none."""
    timestamp_unit: Literal["s", "ms", "us", "iso"] = "s"
    """`iso`: text, ISO 8601; the others count from 1970-01-01 UTC."""
    timezone: str | None = None
    """IANA zone of times that name none: of texts, which without it are rejected, and of a column of times, as Parquet
    has, which without it is UTC."""
    positive_events: list[str] = []
    """Events that make a pair; empty: all."""
    drop_duplicates: bool = True
    """Drop a line that equals another in query, item, event and timestamp."""
    days_off: list[str] = []
    """{date} in path: days of the window that may have no file, or no line: weekdays (sunday), days (2026-12-25)."""

    @model_validator(mode="after")
    def _days_off_are_days_of_the_path(self) -> "InteractionSource":
        for day in self.days_off:
            if day not in WEEKDAYS and not _is_day(day):
                raise ValueError(
                    f"days_off: expected a weekday, such as sunday, or a day, such as 2026-12-25, got '{day}'"
                    f"{did_you_mean(day.lower(), WEEKDAYS, otherwise='')}"
                )
        if self.days_off and "{date}" not in (self.path or ""):
            raise ValueError(f"days_off: goes with {{date}} in path alone, got {self.path or self.query}")
        return self

    @model_validator(mode="after")
    def _events_have_a_column(self) -> "InteractionSource":
        if self.event is None and self.positive_events:
            raise ValueError(
                f"positive_events: expected none with event null, by which every line is positive, "
                f"got {', '.join(self.positive_events)}"
            )
        return self

    @model_validator(mode="after")
    def _each_column_is_read_once(self) -> "InteractionSource":
        first: dict[str, str] = {}
        for key in ("query_id", "item_id", "event", "timestamp"):
            column = getattr(self, key)
            if column is not None and (other := first.setdefault(column, key)) != key:
                raise ValueError(f"{key}: expected a column of its own, got {column}, which is {other}")
        return self

    @model_validator(mode="after")
    def _zone_is_known(self) -> "InteractionSource":
        if self.timezone is None:
            return self
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError):
            near = did_you_mean(self.timezone, available_timezones(), otherwise="")
            raise ValueError(f"timezone: expected an IANA zone, got '{self.timezone}'{near}") from None
        return self

    @model_validator(mode="after")
    def _times_have_a_column(self) -> "InteractionSource":
        for key in ("timestamp_unit", "timezone"):
            value = getattr(self, key)
            if self.timestamp is None and value != InteractionSource.model_fields[key].default:
                raise ValueError(
                    f"{key}: expected none without timestamp, the column of times, got {value}; without it the log has "
                    "no times"
                )
        return self

    @model_validator(mode="after")
    def _zone_is_read(self) -> "InteractionSource":
        if self.timezone is None or self.is_bigquery:
            return self
        # Parquet's times may name none, whatever the unit of numbers.
        if self.format_of(self.path or "") in ("jsonl", "csv") and self.timestamp_unit != "iso":
            raise ValueError(
                f"timezone: goes with timestamp_unit iso in JSON lines and CSV; {self.timestamp_unit} is counted in UTC"
            )
        return self


class TableSource(Source):
    """A table of entities: one line per item, or per query."""

    id: str = "item_id"
    """Column of the entity's id."""
    title: str | None = None
    """Column that names the entity to people."""
    max_age_days: Annotated[int, Field(ge=0, le=3650)] = 0
    """{date} in path: so many days before the window's last may its latest partition be without a warning; 6 of a table
    that comes every week."""

    @model_validator(mode="after")
    def _age_is_of_partitions(self) -> "TableSource":
        if self.max_age_days and "{date}" not in (self.path or ""):
            raise ValueError(f"max_age_days: goes with {{date}} in path alone, got {self.path or self.query}")
        return self


class Sources(Section):
    """Where the raw logs lie and how to read them."""

    interactions: InteractionSource
    """The log: a line for each interaction of a query with an item."""
    items: TableSource
    """The item table. Its items are the corpus; lines with others are rejected."""
    queries: TableSource | Literal["items"] | None = None
    """The query table; `items`: queries are items; null: a query is its id alone."""
    max_reject_ratio: Fraction = 0.0
    """The build fails if more lines of the log, or of a table, than this share are rejected; blank ones are none."""
    rejects: Literal["content", "place_only"] = "content"
    """Whether rejects/ keeps what a bad line said. With pseudonymise always `place_only`."""
    pseudonymise: Pseudonymise | None = None
    """Replace ids by a keyed hash when they are read; null: keep them."""
    item_join: ItemJoin = "auto"
    """How pairs meet their items. `side_input`: every worker holds all items; `shuffle`: none does; `auto`: by the size
    of the item table. It changes nothing but memory and time, so no digest knows it."""

    @property
    def by_name(self) -> dict[str, Source]:
        """The log and the tables, by their key."""
        found = {"interactions": self.interactions, "items": self.items, "queries": self.queries}
        return {name: source for name, source in found.items() if isinstance(source, Source)}

    @model_validator(mode="after")
    def _no_content_of_personal_data(self) -> "Sources":
        if self.pseudonymise and self.rejects == "content":
            if "rejects" in self.model_fields_set:
                raise ValueError("rejects: expected place_only where ids are pseudonymised, got content")
            object.__setattr__(self, "rejects", "place_only")
        return self

    @model_validator(mode="after")
    def _pages_keep_one_name(self) -> "Sources":
        columns = set(self.pseudonymise.columns) if self.pseudonymise else set()
        if self.queries == "items" and len(columns) == 1:
            raise ValueError(
                f"pseudonymise.columns: expected both query_id and item_id where queries are items, got {min(columns)}"
            )
        return self


def endings(path: str) -> tuple[str, str]:
    """The path without the ending of a compression, and what it then ends with."""
    stem, ending = posixpath.splitext(path)
    bare = stem if ending in COMPRESSIONS else path
    return bare, posixpath.splitext(bare)[1]


def _is_day(text: str) -> bool:
    """Whether it is a day as a path has it, YYYY-MM-DD; Python knows further ways to write one."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _check_each_once(key: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{key}: expected each name once, got {name} twice")
