"""Mutual information over the corpus: counted in blocks, summed by key, computed from histograms."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from features.count_histograms import HISTOGRAM, histogram
from features.hashing import hash_texts
from features.item_values import hash_items
from features.joint_counts import count_values, estimated_pairs
from features.mutual_information import from_histograms, to_json
from features.quantile_bounds import count_numbers
from features.spec.features import Side
from features.spec.spec import Spec
from pipelines.aggregation import kinds
from pipelines.aggregation.elements import Element, Grouped
from pipelines.aggregation.packing import Keyed, Packed, concat, key_each, pack, unpack

_MAX_BLOCKS = 64
_ITEMS_PER_BLOCK = 16
"""On average, or more; of fewer, so many would be alone in their block, and so their own partners, that `chance` would
be much of the mutual information itself."""
_BLOCK_SEED = 0xB10C

PAIRS_TOGETHER = 1 << 25
"""Of so many pairs of values a block waits for no other; those of one may be more, and are counted in parts."""


def blocks_of(items: int) -> int:
    """In how many blocks a corpus of so many items is counted, and permuted for `chance`.

    Not a knob: another number gives another `chance`.
    """
    return max(1, min(_MAX_BLOCKS, items // _ITEMS_PER_BLOCK))


def numbers_of_items(element: Keyed, side: Side) -> Iterator[Keyed]:
    """ITEMS -> NUMBERS."""
    yield element[0], pack(count_numbers(unpack(element[1]), side))


def key_by_block(element: Keyed, spec: Spec, *, corpus: int) -> Iterator[Keyed]:
    """ITEMS -> BLOCKS.

    Args:
        element: Some of the corpus.
        spec: The dataset's spec.
        corpus: How many items there are in all.
    """
    items = unpack(element[1])
    blocks = hash_texts(items.column("id").combine_chunks(), _BLOCK_SEED) % np.uint64(blocks_of(corpus))
    section = spec.mutual_information
    hashed = hash_items(items, spec.item, weighting=section.weighting, seed=section.seed)
    yield from key_each(hashed, blocks.astype(np.uint8))


class CountBlocks:
    """BLOCKS -> VALUE_COUNTS, and HISTOGRAMS of what no other block has; of several blocks, so that equal keys meet."""

    def __init__(self, spec: Spec, shards: int) -> None:
        self._spec, self._shards = spec, shards
        self._waiting: list[pa.Table] = []
        self._pairs = 0
        self._bounds: dict[str, list[float]] = {}

    def add(self, element: Grouped, bounds: dict[str, list[float]]) -> Iterator[Element]:
        """Takes all items of a block.

        Args:
            element: A block.
            bounds: Of numbers (`features.quantile_bounds`).
        """
        block = pa.concat_tables([unpack(packed) for packed in element[1]])
        self._waiting.append(block)
        self._pairs += estimated_pairs(block)
        self._bounds = bounds
        if self._pairs >= PAIRS_TOGETHER:
            yield from self.end()

    def end(self) -> Iterator[Element]:
        """Counts what waits."""
        if self._waiting:
            counted = count_values(self._waiting, self._spec.item, bounds=self._bounds, shards=self._shards)
            self._waiting, self._pairs = [], 0
            for found in counted:
                for shard, part in found.by_shard.items():
                    yield Element(kinds.VALUE_COUNTS, (shard, pack(part)))
                yield Element(kinds.HISTOGRAMS, (0, pack(found.complete)))


def histogram_of(element: Grouped) -> Iterator[Keyed]:
    """VALUE_COUNTS of a shard -> HISTOGRAMS."""
    yield element[0], pack(histogram([unpack(packed) for packed in element[1]]))


def encode_information(histograms: Iterable[Packed], spec: Spec) -> bytes:
    """The bytes of mutual_information.json out of the histograms of all shards."""
    section = spec.mutual_information
    information = from_histograms(concat(histograms, HISTOGRAM), list(spec.item.features))
    return to_json(information, weighting=section.weighting, seed=section.seed, numeric_buckets=section.numeric_buckets)
