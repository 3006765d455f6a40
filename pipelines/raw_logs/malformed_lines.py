"""Lines as broken as real logs have them: one in a thousand, of several sorts. None is a line that could be kept."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

LINES_PER_MALFORMED = 1_000


def _wrong_type(line: bytes) -> bytes:
    return line.replace(b'"item_id":"', b'"item_id":["').replace(b'","event"', b'"],"event"')


def _no_time(line: bytes) -> bytes:
    return line.split(b'"timestamp":')[0] + b'"timestamp":"soon"}'


SORTS: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda line: line[: len(line) // 2],
    "cut off after a comma": lambda line: line[: line.index(b",") + 1],
    "wrong type": _wrong_type,
    "not a time": _no_time,
    "no query id": lambda line: b"{" + line.split(b",", 1)[1],
    "null query id": lambda line: b'{"query_id":null,' + line.split(b",", 1)[1],
    "not UTF-8": lambda line: line.replace(b'"query_id":"', b'"query_id":"\xff\xfe'),
    "not JSON": lambda _: b"Traceback (most recent call last):",
    "two objects": lambda line: line + line,
}
"""What is done to a line `{"query_id":...,"item_id":...,"event":...,"timestamp":...}`; the sorts take turns."""


def spoil(lines: pa.StringArray, *, first: int, rng: np.random.Generator) -> pa.BinaryArray:
    """Breaks one line of each full thousand.

    Args:
        lines: Lines of the log, without line ends.
        first: Number of the first one, a multiple of 1,000.
        rng: Draws which.
    """
    thousands = len(lines) // LINES_PER_MALFORMED
    places = LINES_PER_MALFORMED * np.arange(thousands) + rng.integers(LINES_PER_MALFORMED, size=thousands)
    sorts = list(SORTS.values())
    turn = first // LINES_PER_MALFORMED
    broken = [sorts[(turn + i) % len(sorts)](lines[place].as_py().encode()) for i, place in enumerate(places)]
    mask = np.zeros(len(lines), dtype=bool)
    mask[places] = True
    return pc.replace_with_mask(lines.cast(pa.binary()), pa.array(mask), pa.array(broken, pa.binary()))
