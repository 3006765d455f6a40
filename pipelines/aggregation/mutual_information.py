"""Mutual information over the corpus: counted in blocks, summed by key, computed from histograms."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from features.count_histograms import HISTOGRAM, histogram
from features.hashing import hash_texts
from features.item_values import hash_items
from features.joint_counts import Block, count_values
from features.mutual_information import from_histograms, to_json
from features.spec.spec import Spec
from pipelines.aggregation.packing import Keyed, Packed, concat, key_each, pack, unpack

_MAX_BLOCKS = 64
_ITEMS_PER_BLOCK = 16
"""On average, or more; of fewer, so many would be alone in their block, and so their own partners, that `chance` would
be much of the mutual information itself."""
_BLOCK_SEED = 0xB10C


def blocks_of(items: int) -> int:
    """In how many blocks a corpus of so many items is counted, and permuted for `chance`.

    Not a knob: another number gives another `chance`.
    """
    return max(1, min(_MAX_BLOCKS, items // _ITEMS_PER_BLOCK))


def key_by_block(items: pa.Table, spec: Spec, *, corpus: int) -> Iterator[Keyed]:
    """Takes items apart by their block, as hashes of their values.

    Args:
        items: Some of the corpus.
        spec: The dataset's spec.
        corpus: How many items there are in all.
    """
    blocks = hash_texts(items.column("id").combine_chunks(), _BLOCK_SEED) % np.uint64(blocks_of(corpus))
    section = spec.mutual_information
    hashed = hash_items(items, spec.item, weighting=section.weighting, seed=section.seed)
    yield from key_each(hashed, blocks.astype(np.uint8))


def open_block(items: Iterable[Packed]) -> Block:
    """All items of a block, as they are counted."""
    return Block(pa.concat_tables([unpack(packed) for packed in items]))


def count_blocks(
    blocks: Sequence[Block], spec: Spec, *, bounds: dict[str, list[float]], shards: int
) -> Iterator[tuple[list[Keyed], Packed]]:
    """Counts the values of some blocks: by shard, and complete, as `features.joint_counts.JointCounts` has them."""
    for found in count_values(blocks, spec.item, bounds=bounds, shards=shards):
        yield [(shard, pack(part)) for shard, part in found.by_shard.items()], pack(found.complete)


def histogram_of(counts: Iterable[Packed]) -> Packed:
    """The histogram of a shard's counts, schema HISTOGRAM."""
    return pack(histogram([unpack(packed) for packed in counts]))


def encode_information(histograms: Iterable[Packed], spec: Spec) -> bytes:
    """The bytes of mutual_information.json out of the histograms of all shards."""
    section = spec.mutual_information
    information = from_histograms(concat(histograms, HISTOGRAM), list(spec.item.features))
    return to_json(information, weighting=section.weighting, seed=section.seed, numeric_buckets=section.numeric_buckets)
