"""Mutual information over the corpus: counted in blocks, summed by key, told by histograms."""

from collections.abc import Iterable

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import AsSingleton

from features.hashing import hash_texts
from features.joint_counts import (
    COUNTS,
    HISTOGRAM,
    NUMBERS,
    count_numbers,
    count_values,
    histogram,
    merge_histograms,
    quantile_bounds,
)
from features.mutual_information import from_histograms, to_json
from features.spec import Side, Spec
from pipelines.beam.shuffle import Gather, Grouped, Keyed, Packed, concat, pack, unpack

BLOCKS = 64
"""The corpus is counted, and permuted for `chance`, in so many blocks by the hash of the id. Not a knob: another number
gives another `chance`."""
_BLOCK_SEED = 0xB10C


class MutualInformation(beam.PTransform):
    """(shard, items) -> the bytes of mutual_information.json, one element."""

    def __init__(self, spec: Spec, shards: int) -> None:
        super().__init__()
        self._spec, self._shards = spec, shards

    def expand(self, items: beam.PCollection) -> beam.PCollection:
        """Counts, merges and tells."""
        section = self._spec.mutual_information
        bounds = (
            items
            | "Items" >> beam.Values()
            | "CountNumbers" >> beam.Map(_count_numbers, self._spec.item).with_output_types(Packed)
            | "GatherNumbers" >> Gather(NUMBERS)
            | "QuantileBounds" >> beam.Map(_bounds, section.numeric_buckets)
        )
        return (
            items
            | "KeyByBlock" >> beam.FlatMap(_key_by_block).with_output_types(Keyed)
            | "GroupBlocks" >> beam.GroupByKey()
            | "CountValues" >> beam.ParDo(_CountValues(self._spec, self._shards), bounds=AsSingleton(bounds))
            | "GroupCounts" >> beam.GroupByKey()
            | "Histogram"
            >> beam.MapTuple(lambda _, found: pack(histogram(concat(found, COUNTS)))).with_output_types(Packed)
            | "GatherHistograms" >> Gather(HISTOGRAM)
            | "Tell" >> beam.Map(_tell, self._spec)
        )


def _count_numbers(items: Packed, side: Side) -> Packed:
    return pack(count_numbers(unpack(items), side))


def _bounds(numbers: Packed, buckets: int) -> dict[str, list[float]]:
    return quantile_bounds(unpack(numbers), buckets)


def _key_by_block(element: Keyed) -> Iterable[Keyed]:
    items = unpack(element[1])
    blocks = hash_texts(items.column("id").combine_chunks(), _BLOCK_SEED) % np.uint64(BLOCKS)
    for block in np.unique(blocks):
        yield int(block), pack(items.filter(pa.array(blocks == block)))


class _CountValues(beam.DoFn):
    def __init__(self, spec: Spec, shards: int) -> None:
        self._spec, self._shards = spec, shards

    def process(self, element: Grouped, bounds: dict[str, list[float]]) -> Iterable[Keyed]:
        section = self._spec.mutual_information
        counts = count_values(
            pa.concat_tables([unpack(packed) for packed in element[1]]),
            self._spec.item,
            weighting=section.weighting,
            seed=section.seed,
            bounds=bounds,
        ).combine_chunks()
        # All counts of a key go to one shard.
        shard = (counts.column("a").to_numpy() ^ counts.column("b").to_numpy()) % np.uint64(self._shards)
        for number in np.unique(shard):
            yield int(number), pack(counts.filter(pa.array(shard == number)).select(COUNTS.names))


def _tell(histograms: Packed, spec: Spec) -> bytes:
    section = spec.mutual_information
    information = from_histograms(merge_histograms(unpack(histograms)), list(spec.item.features))
    return to_json(information, weighting=section.weighting, seed=section.seed, numeric_buckets=section.numeric_buckets)
