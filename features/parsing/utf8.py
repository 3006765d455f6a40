"""Whether bytes that should be text are UTF-8, and the mark that they may begin with."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.flags import flags_of

BOM = b"\xef\xbb\xbf"
"""The mark of byte order that some programs begin a file with."""


def is_utf8(text: bytes) -> bool:
    """Whether some bytes are UTF-8."""
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def are_utf8(column: pa.Array) -> npt.NDArray[np.bool_]:
    """Whether each text of a column, or all of a row's list of texts, is UTF-8."""
    if not pa.types.is_list(column.type):
        valid = flags_of(pc.string_is_ascii(column).fill_null(True))
        others = np.flatnonzero(~valid)
        valid[others] = [is_utf8(text) for text in column.take(pa.array(others)).cast(pa.binary()).to_pylist()]
        return valid
    valid = np.ones(len(column), bool)
    valid[pc.list_parent_indices(column).to_numpy()[~are_utf8(column.flatten())]] = False
    return valid


def odd_rows(rows: pa.RecordBatch) -> npt.NDArray[np.bool_] | None:
    """Which rows hold a text that isn't UTF-8; None, which is found out fast, where none does.

    pyarrow takes any bytes for text, whatever it reads them from; only full validation looks at them.
    """
    odd = [column for column in rows.columns if not _is_valid(column)]
    return ~np.logical_and.reduce([are_utf8(column) for column in odd]) if odd else None


def _is_valid(column: pa.Array) -> bool:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
