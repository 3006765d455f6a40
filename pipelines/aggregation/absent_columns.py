"""Columns that the spec names, that a line may lack, and that no line of a whole source has: a name that is wrong.

A feature column absent from one file is missing there, and so are the times of some lines; absent from all,
a build would learn from nothing and not say so.
"""

from collections.abc import Mapping

import pyarrow as pa

from stage.errors import StageError

_PREFIX = "column\t"


def count_present(rows: pa.RecordBatch, source: str, *, columns: Mapping[str, str]) -> dict[str, int]:
    """Counts the values of columns in a batch, which the job adds up like all other counts.

    Args:
        rows: Of a log or a table.
        source: The log, items or queries.
        columns: Key of the spec -> the column that it names.
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
