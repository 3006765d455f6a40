"""The columns that are read of the log or a table."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa


@dataclass(frozen=True)
class Columns:
    """What is read of each row."""

    schema: pa.Schema
    """string, float64 or list<string> each."""
    required: list[str]
    """Those that no file may lack; JSON lines have no schema, so there each line is held to it."""
    time: str | None = None
    """The one that Parquet, Avro and BigQuery may hold as timestamps."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Column -> the key of the spec that names it, for errors."""
