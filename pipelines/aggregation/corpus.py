"""Mutual information over the corpus: counted in blocks, summed by key, told by histograms."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from features.hashing import hash_texts
from features.joint_counts import (
    COUNTS,
    HISTOGRAM,
    Block,
    count_values,
    histogram,
    merge_histograms,
    read_block,
    split_by_key,
)
from features.mutual_information import from_histograms, to_json
from features.spec import Spec
from pipelines.aggregation.packing import Keyed, Packed, concat, key_each, pack, unpack

BLOCKS = 64
"""The corpus is counted, and permuted for `chance`, in so many blocks by the hash of the id. Not a knob: another number
gives another `chance`."""
_BLOCK_SEED = 0xB10C


def key_by_block(items: pa.Table) -> Iterator[Keyed]:
    """Takes items apart by their block of the corpus."""
    blocks = hash_texts(items.column("id").combine_chunks(), _BLOCK_SEED) % np.uint64(BLOCKS)
    yield from key_each(items, blocks.astype(np.int64))


def open_block(items: Iterable[Packed], spec: Spec, *, bounds: dict[str, list[float]]) -> Block:
    """All items of a block, as they are counted."""
    section = spec.mutual_information
    entities = pa.concat_tables([unpack(packed) for packed in items])
    return read_block(entities, spec.item, weighting=section.weighting, seed=section.seed, bounds=bounds)


def count_blocks(blocks: Sequence[Block], shards: int) -> Iterator[Keyed]:
    """Counts the values of some blocks; all counts of a key go to one shard, schema COUNTS."""
    for shard, counts in enumerate(split_by_key(count_values(blocks), shards)):
        if counts.num_rows:
            yield shard, pack(counts, "lz4")


def histogram_of(counts: Iterable[Packed]) -> Packed:
    """The histogram of a shard's counts, schema HISTOGRAM."""
    return pack(histogram(concat(counts, COUNTS)))


def tell(histograms: Iterable[Packed], spec: Spec) -> bytes:
    """The bytes of mutual_information.json out of the histograms of all shards."""
    section = spec.mutual_information
    merged = merge_histograms(concat(histograms, HISTOGRAM))
    information = from_histograms(merged, list(spec.item.features))
    return to_json(information, weighting=section.weighting, seed=section.seed, numeric_buckets=section.numeric_buckets)
