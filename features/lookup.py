"""Values found among known ones."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def index_among(values: pa.Array | pa.ChunkedArray, known: pa.Array) -> npt.NDArray[np.int64]:
    """The index of each value among the known ones, -1 where it is missing or none of them; int64 [n].

    Args:
        values: [n], may hold nulls.
        known: Of the same type, or large strings where the values are strings; distinct.
    """
    if pa.types.is_large_string(known.type):
        values = values.cast(known.type)
    return pc.fill_null(pc.index_in(values, value_set=known), -1).to_numpy().astype(np.int64)
