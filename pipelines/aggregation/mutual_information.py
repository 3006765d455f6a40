"""Mutual information over the corpus: counted in blocks, summed by key, computed from histograms."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from features.count_histograms import HISTOGRAM, histogram
from features.hashing import hash_texts
from features.item_values import hash_items
from features.joint_counts import Block, count_values
from features.mutual_information import from_histograms, to_json
from features.spec import Spec
from pipelines.aggregation.packing import Keyed, Packed, concat, key_each, pack, unpack

BLOCKS = 64
"""The corpus is counted, and permuted for `chance`, in so many blocks by the hash of the id. Not a knob: another number
gives another `chance`."""
_BLOCK_SEED = 0xB10C


def key_by_block(items: pa.Table, spec: Spec) -> Iterator[Keyed]:
    """Takes items apart by their block of the corpus, as hashes of their values."""
    blocks = hash_texts(items.column("id").combine_chunks(), _BLOCK_SEED) % np.uint64(BLOCKS)
    section = spec.mutual_information
    hashed = hash_items(items, spec.item, weighting=section.weighting, seed=section.seed)
    yield from key_each(hashed, blocks.astype(np.uint8))


def open_block(items: Iterable[Packed]) -> Block:
    """All items of a block, as they are counted."""
    return Block(pa.concat_tables([unpack(packed) for packed in items]))


def count_blocks(
    blocks: Sequence[Block], spec: Spec, *, bounds: dict[str, list[float]], shards: int
) -> tuple[list[Keyed], Packed]:
    """Counts the values of some blocks: by shard, and complete, as `features.joint_counts.JointCounts` has them."""
    found = count_values(blocks, spec.item, bounds=bounds, shards=shards)
    return [(shard, pack(part)) for shard, part in found.by_shard.items()], pack(found.complete)


def histogram_of(counts: Iterable[Packed]) -> Packed:
    """The histogram of a shard's counts, schema HISTOGRAM."""
    return pack(histogram([unpack(packed) for packed in counts]))


def encode_information(histograms: Iterable[Packed], spec: Spec) -> bytes:
    """The bytes of mutual_information.json out of the histograms of all shards."""
    section = spec.mutual_information
    information = from_histograms(concat(histograms, HISTOGRAM), list(spec.item.features))
    return to_json(information, weighting=section.weighting, seed=section.seed, numeric_buckets=section.numeric_buckets)
