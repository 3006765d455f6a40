"""Whether bytes that should be text are UTF-8, and the mark that they may begin with."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

BOM = b"\xef\xbb\xbf"
"""The mark of byte order that some programs begin a file with."""
_UTF8 = (
    r"^(?:[\x00-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|\xed[\x80-\x9f][\x80-\xbf]"
    r"|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}"
    r"|\xf4[\x80-\x8f][\x80-\xbf]{2})*$"
)


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
        found = pc.match_substring_regex(column.cast(pa.binary()).fill_null(b""), _UTF8)
        return found.to_numpy(zero_copy_only=False)
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
