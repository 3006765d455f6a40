"""Columns that the spec names, that a line may lack, and that no line of a whole source has: a name that is wrong.

A feature column absent from one file is missing there, and so are the times of some lines; absent from all,
a build would learn from nothing and not say so.
"""

from collections.abc import Mapping

import pyarrow as pa

from features.raw_features import feature_columns
from features.spec_features import Side
from features.spec_sources import InteractionSource, TableSource
from stage.errors import StageError

_PREFIX = "column\t"


def optional_log_columns(source: InteractionSource, context: Side) -> dict[str, str]:
    """Key of the spec -> the column of a log that it names."""
    columns = {} if source.timestamp is None else {"sources.interactions.timestamp": source.timestamp}
    return columns | {f"session.context.features.{f}": column for f, (column, _) in feature_columns(context).items()}


def optional_table_columns(name: str, source: TableSource, *, sides: Mapping[str, Side]) -> dict[str, str]:
    """Key of the spec -> the column of a table that it names."""
    columns = {} if source.title is None else {f"sources.{name}.title": source.title}
    for side_name, side in sides.items():
        columns |= {f"{side_name}.features.{f}": column for f, (column, _) in feature_columns(side).items()}
    return columns


def count_present(rows: pa.RecordBatch, source: str, *, columns: Mapping[str, str]) -> dict[str, int]:
    """Counts the values of columns in a batch, which the job adds up like all other counts.

    Args:
        rows: Of a log or a table.
        source: The log, items or queries.
        columns: As `optional_log_columns` or `optional_table_columns` has them.
    """
    return {
        f"{_PREFIX}{source}\t{key}\t{name}": rows.num_rows - rows.column(name).null_count
        for key, name in columns.items()
    }


def check_columns(counts: Mapping[str, int]) -> None:
    """Fails for a column that holds nothing in a whole source.

    Raises:
        StageError: Naming the key and the column.
    """
    for name, values in sorted(counts.items()):
        if name.startswith(_PREFIX) and not values:
            _, source, key, column = name.split("\t", 3)
            raise StageError(
                f"{key}: expected a column '{column}' in the {source}, but none of its lines has a value there; "
                "correct the name, or leave it out of the spec"
            )
