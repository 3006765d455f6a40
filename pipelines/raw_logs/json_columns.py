"""JSON Lines out of columns, without a Python object per row."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def text(values: pa.StringArray) -> pa.StringArray:
    """JSON strings of strings that need no escapes."""
    return pc.binary_join_element_wise('"', values, '"', "")


def number(values: npt.NDArray[np.int64] | npt.NDArray[np.float64]) -> pa.StringArray:
    """JSON numbers."""
    return pc.cast(pa.array(values), pa.string())


def text_lists(values: pa.ListArray) -> pa.StringArray:
    """JSON arrays of strings that need no escapes; no array is empty."""
    return pc.binary_join_element_wise('["', pc.binary_join(values, '","'), '"]', "")


def objects(columns: Mapping[str, pa.StringArray]) -> pa.StringArray:
    """JSON objects, one per row, without line ends, from columns of JSON values."""
    parts: list[pa.StringArray | str] = []
    for name, values in columns.items():
        parts += [f'{"," if parts else "{"}"{name}":', values]
    return pc.binary_join_element_wise(*parts, "}", "")


def lines(values: pa.StringArray | pa.BinaryArray) -> bytes:
    """The values, each with a line end behind it, as one piece."""
    ended = pc.binary_join_element_wise(values.cast(pa.binary()), b"\n", b"")
    _, offsets, content = ended.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int32, count=len(ended) + 1, offset=4 * ended.offset)
    return bytes(memoryview(content)[bounds[0] : bounds[-1]])
