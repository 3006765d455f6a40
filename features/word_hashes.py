"""Hashes of texts, eight bytes of each at a time, for what no output depends on, such as where a line is merged.

XXH3 (`features.hashing`) is called once a distinct text, while no other thread of Python runs: a (query, item) of a log
with ids of eight bytes took 149 ns, and takes 60 so; one of two UUIDs, none of them twice, 227 and 193 (measured).

Letters: n texts, b bytes.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.hashing import mix

_WORD = 8
_MASKS = np.array([(1 << (8 * size)) - 1 for size in range(_WORD + 1)], np.uint64)
"""What a word keeps of which so many bytes are the text's."""


def hash_words(texts: pa.StringArray) -> npt.NDArray[np.uint64]:
    """A hash of each text that depends on nothing else.

    Args:
        texts: string [n], no nulls.

    Returns:
        uint64 [n].
    """
    words, starts, sizes = _words_and_bounds(texts)

    def word(rows: npt.NDArray[np.int64] | slice, done: int) -> npt.NDArray[np.uint64]:
        return words[starts[rows] + done] & _MASKS.take(sizes[rows] - done, mode="clip")

    hashes = mix(sizes.astype(np.uint64), word(slice(None), 0))
    rows, done = np.flatnonzero(sizes > _WORD), _WORD
    while len(rows):
        hashes[rows] = mix(hashes[rows], word(rows, done))
        done += _WORD
        rows = rows[sizes[rows] > done]
    return hashes


def _words_and_bounds(
    texts: pa.StringArray,
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The eight bytes from each byte of the texts on, uint64 [b + 1]; the first byte and the size of each text, [n]."""
    _, offsets, content = texts.buffers()
    if not len(texts) or content is None:
        return np.zeros(1, np.uint64), *(np.zeros(len(texts), np.int64),) * 2
    bounds = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    size = int(bounds[-1] - bounds[0])
    padded = np.zeros(size + _WORD, np.uint8)
    padded[:size] = np.frombuffer(content, np.uint8)[bounds[0] : bounds[-1]]
    words = np.ndarray(size + 1, np.dtype("<u8"), padded, strides=(1,))
    return words, bounds[:-1] - bounds[0], np.diff(bounds)
