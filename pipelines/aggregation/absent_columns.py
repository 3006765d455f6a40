"""Columns that the spec names, that a line may lack, and that no line of a whole source has: a name that is wrong.

A feature column absent from one file is missing there, and so are the times of some lines; absent from all,
a build would learn from nothing and not say so.
"""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from features.parsing.list_numbers import is_vector
from features.sums import total
from stage.errors import StageError

_PREFIX = "column\t"


def count_present(rows: pa.RecordBatch, source: str, *, columns: Mapping[str, str]) -> dict[str, int]:
    """Counts the values of columns in a batch, which the job adds up like all other counts.

    Args:
        rows: Of a log or a table.
        source: The log, items or queries.
        columns: Key of the spec -> the column that it names.
    """
    return {f"{_PREFIX}{source}\t{key}\t{name}": _count_values(rows.column(name)) for key, name in columns.items()}


def _count_values(column: pa.Array) -> int:
    """How many there are, by what `features.raw_features` takes for missing; an empty list of texts is a value."""
    if pa.types.is_string(column.type):
        present = pc.greater(pc.binary_length(column), 0)
    elif pa.types.is_floating(column.type):
        present = pc.is_finite(column.cast(pa.float32()))
    elif is_vector(column.type):
        present = pc.greater(pc.list_value_length(column), 0)
    else:
        return len(column) - column.null_count
    return total(present)


def check_columns(counts: Mapping[str, int], hints: Mapping[str, str]) -> None:
    """Fails for a column that holds nothing in a whole source.

    Args:
        counts: Of the whole job.
        hints: Of the job's columns, by key.

    Raises:
        StageError: Naming the key and the column.
    """
    for name, values in sorted(counts.items()):
        if name.startswith(_PREFIX) and not values:
            _, source, key, column = name.split("\t", 3)
            raise StageError(
                f"{key}: expected a column '{column}' in the {source}, but none of its lines has a value there"
                f"{hints.get(key, '; correct the name, or leave it out of the spec')}"
            )
