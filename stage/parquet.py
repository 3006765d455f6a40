"""Reading Parquet from wherever it lies."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stage import storage
from stage.errors import StageError


def read_parquet(path: str, **how: Any) -> pa.Table:
    """Reads a file, with pyarrow's options.

    Raises:
        StageError: If it isn't there or isn't Parquet.
    """
    system, bare = storage.resolve(path)
    try:
        return pq.read_table(bare, filesystem=system, **how)
    except (OSError, pa.ArrowInvalid) as error:
        raise StageError(f"{path}: not readable as Parquet: {error}") from None
