"""The values of item features as hashes: all that mutual information needs to know of an item.

Letters: n rows (items), v values of one feature in all rows, d distinct ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.flags import flags_of
from features.hashing import hash_texts, mix
from features.ranges import offsets, ranges
from features.spec.features import Feature, IdFeature, NumericFeature, Side, TextFeature, VectorFeature
from features.tokens import ngrams, words
from features.vectors import vector_classes

_MISSING = np.uint64(0)
_VALUE_SEED = 0x3A1

Hashes = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]
Unsigned = npt.NDArray[np.unsignedinteger[Any]]
"""As narrow as its numbers fit."""


@dataclass(frozen=True)
class Values:
    """A feature's values in n rows; a missing one is a value of its own, so each row has at least one."""

    distinct: Hashes
    """uint64 [d]."""
    places: Integers
    """int64 [v]: of each value among the distinct ones, row by row."""
    sizes: Integers
    """int64 [n]: how many values each row has."""

    @property
    def single(self) -> bool:
        """Each row has one value."""
        return len(self.places) == len(self.sizes)

    def take(self, rows: Integers) -> "Values":
        """The values of some rows, in their order."""
        if self.single:
            return Values(self.distinct, self.places[rows], self.sizes[rows])
        sizes = self.sizes[rows]
        return Values(self.distinct, self.places[ranges(offsets(self.sizes)[rows], sizes)], sizes)


def hash_items(items: pa.Table, side: Side, *, weighting: str, seed: int) -> pa.Table:
    """Hashes the values of items.

    Args:
        items: Schema `features.entities.entity_schema(side)`.
        side: The items' features.
        weighting: "uniform", or "train_count".
        seed: Of the permutation behind `chance`.

    Returns:
        A table [n]: `order`, uint64, by which rows are permuted; `weight`, int64, unless all rows count alike; and
        feature/NAME each: uint64, or list<uint64> that is never empty; of a numeric one still the number, since its
        classes aren't known yet.
    """
    ids = items.column("id").combine_chunks()
    columns = {"order": pa.array(hash_texts(ids, seed))}
    if weighting == "train_count":
        columns["weight"] = items.column("train_count")
    for name, feature in side.features.items():
        column = ids if isinstance(feature, IdFeature) else items.column(f"feature/{name}").combine_chunks()
        columns[f"feature/{name}"] = _hash(column, feature)
    return pa.table(columns)


def _hash(column: pa.Array, feature: Feature) -> pa.Array:
    if isinstance(feature, NumericFeature):
        return column
    if isinstance(feature, VectorFeature):
        # From 1 on, as those of numbers: the hash of 0 is that of what is missing.
        classes = vector_classes(column).fill_null(0).to_numpy() + np.uint64(1)
        return _where_valid(column, _hash_numbers(classes))
    if isinstance(feature, TextFeature):
        column = ngrams(words(column), feature.ngrams)
    if not pa.types.is_list(column.type):
        hashes = hash_texts(pc.fill_null(column, ""), _VALUE_SEED)
        return _where_valid(column, hashes)
    sizes = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
    filled = np.maximum(sizes, 1)
    bounds = offsets(filled)
    hashes = np.full(bounds[-1], _MISSING)
    hashes[ranges(bounds[:-1][sizes > 0], sizes[sizes > 0])] = hash_texts(pc.list_flatten(column), _VALUE_SEED)
    return pa.ListArray.from_arrays(pa.array(bounds.astype(np.int32)), pa.array(hashes))


def _hash_numbers(classes: Hashes) -> Hashes:
    return mix(classes, np.zeros(len(classes), np.uint64))


def _where_valid(column: pa.Array, hashes: npt.NDArray[np.uint64]) -> pa.Array:
    return pa.array(np.where(flags_of(column.is_valid()), hashes, _MISSING))


def values_of(hashed: pa.ChunkedArray, bounds: Sequence[float]) -> Values:
    """The values of one feature of hashed items.

    Args:
        hashed: Its column, as `hash_items` makes it.
        bounds: Of a numeric feature's classes.
    """
    column = hashed.combine_chunks()
    if pa.types.is_floating(column.type):
        buckets = np.searchsorted(bounds, column.fill_null(0).to_numpy(), side="right") + 1
        column = _where_valid(column, _hash_numbers(buckets.astype(np.uint64)))
    if pa.types.is_list(column.type):
        sizes, column = pc.list_value_length(column).to_numpy().astype(np.int64), pc.list_flatten(column)
    else:
        sizes = np.ones(len(column), np.int64)
    encoded = column.dictionary_encode()
    return Values(encoded.dictionary.to_numpy(), encoded.indices.to_numpy().astype(np.int64), sizes)


def narrow(numbers: npt.NDArray[np.integer[Any]]) -> Unsigned:
    """The same numbers, none of them negative, in the smallest unsigned type."""
    return numbers.astype(np.min_scalar_type(int(numbers.max(initial=0))))
