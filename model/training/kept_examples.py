"""A process's training examples decoded in memory, with what they have of each query and item once.

Shapes: B examples of a file, N of all files, Q different queries, M different items.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from model.network.numpy_rows import Array, Rows, joined, rows_apart, rows_where
from model.training.processors import preparing_threads
from model.training.ragged_rows import rows_at
from model.training.training_batch import distinct
from stage import progress

Examples: TypeAlias = dict[str, Any]
"""As an `example_parser` returns them."""
_Part: TypeAlias = dict[str, Array | Rows]
"""Queries or items of a file, out of TensorFlow's memory."""
_WHOLE_FILES = 1 << 40
_QUIET_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class KeptExamples:
    """The examples of some files, numbered as they come."""

    sizes: list[int]
    """How many each file has."""
    queries: Examples
    """Of [Q]."""
    query_of: tf.Tensor | None
    """int32 [N]: which of the queries an example has; None: each has its own."""
    items: Examples
    """Of [M]."""
    item_of: tf.Tensor
    """int32 [N]: which of the items."""


def serialized(files: tf.Tensor) -> tf.data.Dataset:
    """The serialized examples of a file, or of several, as one element."""
    return tf.data.TFRecordDataset(files, "GZIP").batch(_WHOLE_FILES)


def kept_examples(
    files: Sequence[str],
    parse: Callable[[tf.Tensor], Examples],
    *,
    query_key: str | None,
    item_key: str,
    of_items: Sequence[str],
    total: int,
) -> KeptExamples:
    """Reads files, each of which has an example.

    Args:
        files: Their names.
        parse: Serialized examples [B] -> what is read of them.
        query_key: What tells queries apart, int64 [B] in what `parse` returns; None: each example has its own.
        item_key: What tells items apart.
        of_items: What else there is of items; the rest is of queries.
        total: How many examples are expected, for the progress that is shown.

    Raises:
        tf.errors.OpError: If a file can't be read.
    """

    def decode(records: tf.Tensor) -> tuple[tuple[Examples, tf.Tensor], tuple[Examples, tf.Tensor]]:
        examples = parse(records)
        items = {key: examples.pop(key) for key in (item_key, *of_items)}
        return _each_once(examples, query_key), _each_once(items, item_key)

    # Not in the same call as they are parsed, which TensorFlow wouldn't do for two files at a time where operations
    # are deterministic. Each file is one element, so they come in their order.
    read = tf.data.Dataset.from_tensor_slices(list(files)).interleave(
        serialized, cycle_length=preparing_threads(), num_parallel_calls=preparing_threads(), deterministic=True
    )
    decoded = read.map(decode, num_parallel_calls=preparing_threads(), deterministic=True)
    queries, items = _Entities(query_key), _Entities(item_key)
    sizes = []
    with progress.bar(total=total, unit="examples", description="train: decode", delay=_QUIET_SECONDS) as shown:
        for file in decoded:
            (some_queries, query_of), (some_items, item_of) = tf.nest.map_structure(lambda part: part.numpy(), file)
            queries.add(some_queries, query_of)
            items.add(some_items, item_of)
            sizes.append(len(item_of))
            shown.update(sizes[-1])
    all_queries, all_query_of = queries.take()
    all_items, all_item_of = items.take()
    return KeptExamples(sizes=sizes, queries=all_queries, query_of=all_query_of, items=all_items, item_of=all_item_of)


class _Entities:
    """Queries, or items, of one file after the other, each different one once and numbered as they come."""

    def __init__(self, key: str | None) -> None:
        """Starts with none.

        Args:
            key: What tells them apart; None: all are different.
        """
        self._key = key
        self._parts: list[_Part] = []  # of different ones
        self._keys = np.zeros([0], np.int64)  # theirs
        self._of: list[npt.NDArray[np.int32]] = []
        self._to_compare: list[tuple[_Part, npt.NDArray[np.int64]]] = []

    def add(self, part: _Part, of: npt.NDArray[np.int64]) -> None:
        """Adds a file's: its different ones, and which of these each example has, [B]."""
        if self._key is None:
            self._parts.append(part)
            return
        self._to_compare.append((part, of))
        # As many as are kept: each key is then compared a few times, however many files there are.
        if sum(len(part[self._key]) for part, _ in self._to_compare) >= len(self._keys):
            self._compare()

    def take(self) -> tuple[Examples, tf.Tensor | None]:
        """All of them, and which of them each example has, int32 [N]; None: example number i has number i."""
        if self._to_compare:
            self._compare()
        # Each part's values go as they are joined, so that one feature at a time is there twice.
        entities = {key: joined([part.pop(key) for part in self._parts]) for key in [*self._parts[0]]}
        return entities, joined(self._of) if self._of else None

    def _compare(self) -> None:
        """Keeps those that weren't there before."""
        assert self._key is not None
        of_parts = [part[self._key] for part, _ in self._to_compare]
        keys = np.concatenate([self._keys, *of_parts])
        _, firsts, which = np.unique(keys, return_index=True, return_inverse=True)
        is_first = np.zeros(len(keys), np.bool_)
        is_first[firsts] = True
        number = (np.cumsum(is_first) - 1).astype(np.int32)[firsts][which]
        ends = len(self._keys) + np.cumsum([len(part) for part in of_parts])
        for (part, of), end in zip(self._to_compare, ends, strict=True):
            mine = slice(end - len(part[self._key]), end)
            self._parts.append({key: rows_where(rows, is_first[mine]) for key, rows in part.items()})
            self._of.append(number[mine][of])
        self._keys = keys[is_first]
        self._to_compare.clear()


def _each_once(entities: Examples, key: str | None) -> tuple[Examples, tf.Tensor]:
    """The different queries or items of a file's examples, and which of them each example has, int64 [B]."""
    if key is None:
        return rows_apart(entities), tf.zeros([0], tf.int64)
    which, firsts = distinct(entities[key])
    at = {
        k: rows_at(v, firsts) if isinstance(v, tf.RaggedTensor) else tf.gather(v, firsts) for k, v in entities.items()
    }
    return rows_apart(at), which
