"""Training, validation or test: of each line by the hash of its pair or of its query, or by its time."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.hashing import as_fraction, hash_pairs, hash_texts
from features.spec.split import Split
from stage.errors import UsageError
from stage.instant import parse_instant

SplitName: TypeAlias = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
"""The code of a split is its place here."""

_QUERY_SEED = 0x5E55
_COLD_SEED = 0xC01D


@dataclass(frozen=True)
class TimeBounds:
    """Where validation and test begin, UTC microseconds."""

    validation_start: int
    test_start: int


def time_bounds(split: Split, test_start: str | None) -> TimeBounds | None:
    """Where a split by time cuts; None if the split is by hash.

    Args:
        split: The spec's section.
        test_start: The job option, which goes before the spec's.

    Raises:
        UsageError: If the bounds are missing or out of order.
    """
    if split.method != "time":
        if test_start is not None:
            raise UsageError(f"--test-start: goes with split.method time; this spec splits by {split.method}")
        return None
    start = test_start or split.test_start
    if start is None:
        raise UsageError("--test-start or split.test_start: a split by time needs one of them, got none")
    test = parse_instant(start, "--test-start" if test_start else "split.test_start")
    if split.validation_start is not None and test_start is None:
        validation = parse_instant(split.validation_start, "split.validation_start")
    elif split.validation_seconds is not None:
        validation = test - split.validation_seconds * 1_000_000
    else:
        raise UsageError("split.validation_seconds: --test-start needs it, since validation_start would not move along")
    if validation > test:
        raise UsageError(f"split: expected validation to start before test ({start}), got {split.validation_start}")
    return TimeBounds(validation, test)


def split_of_lines(lines: pa.Table, split: Split, *, bounds: TimeBounds | None) -> npt.NDArray[np.int8]:
    """The split of each line.

    Args:
        lines: n rows with query_id, item_id, timestamp (not null where bounds are given).
        split: The spec's section.
        bounds: For a split by time.

    Returns:
        int8 [n], places in SPLITS.
    """
    if bounds is not None:
        micros = lines.column("timestamp").cast(pa.int64()).to_numpy()
        return ((micros >= bounds.validation_start).astype(np.int8) + (micros >= bounds.test_start)).astype(np.int8)
    queries = lines.column("query_id").combine_chunks()
    if split.method == "query_hash":
        hashes = hash_texts(queries, split.seed ^ _QUERY_SEED)
    else:
        hashes = hash_pairs(queries, lines.column("item_id").combine_chunks(), seed=split.seed)
    drawn = as_fraction(hashes)
    test = drawn < split.test
    validation = ~test & (drawn < split.test + split.validation)
    return np.where(test, 2, np.where(validation, 1, 0)).astype(np.int8)


def are_cold(items: pa.Array, split: Split) -> npt.NDArray[np.bool_]:
    """Whether each item is one that `split.cold_items` takes out of training, bool [n].

    Args:
        items: string [n], ids.
        split: The spec's section.
    """
    return as_fraction(hash_texts(items, split.seed ^ _COLD_SEED)) < split.cold_items
