"""The rule for ids of logs and tables: neither missing nor too long, and without control characters."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.flags import flags_of

MAX_ID_BYTES = 1024

CONTROLS = r"[\x00-\x1f\x7f]"
"""Characters that no term has, as a regular expression: vocabularies are files of one term a line."""


def valid_ids(ids: pa.Array) -> pa.Array:
    """Which ids can be used, bool [n]."""
    return pa.array(~(are_missing(ids) | are_bad(ids)))


def are_missing(texts: pa.Array) -> npt.NDArray[np.bool_]:
    """Which of the texts, string [n], are null or empty."""
    return flags_of(pc.fill_null(pc.equal(pc.binary_length(texts), 0), True))


def are_bad(ids: pa.Array) -> npt.NDArray[np.bool_]:
    """Which of the ids, string [n], are longer than MAX_ID_BYTES or have control characters."""
    bad = pc.greater(pc.binary_length(ids), MAX_ID_BYTES)
    if _has_controls(ids):
        bad = pc.or_(bad, pc.match_substring_regex(ids, CONTROLS))
    return flags_of(pc.fill_null(bad, False))


def _has_controls(texts: pa.Array) -> bool:
    """Whether any of the texts has a control character: a look at all their bytes at once, since mostly none has."""
    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return False
    bounds = np.frombuffer(offsets, np.int32)
    found = np.frombuffer(data, np.uint8)[bounds[texts.offset] : bounds[texts.offset + len(texts)]]
    return bool(((found < 0x20) | (found == 0x7F)).any())
