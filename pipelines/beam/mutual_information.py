"""Mutual information over the corpus, as steps of the Beam job."""

from collections.abc import Iterable, Iterator

import apache_beam as beam
from apache_beam.pvalue import AsSingleton, TaggedOutput

from features.count_histograms import HISTOGRAM
from features.joint_counts import Block
from features.quantile_bounds import NUMBERS, count_numbers, quantile_bounds
from features.spec.features import Side
from features.spec.spec import Spec
from pipelines.aggregation.mutual_information import (
    count_blocks,
    encode_information,
    histogram_of,
    key_by_block,
    open_block,
)
from pipelines.aggregation.packing import Keyed, Packed, pack, unpack
from pipelines.beam.bundle_end import Last, give_last
from pipelines.beam.shuffle import Grouped, gather
from pipelines.beam.union import union

_COMPLETE = "complete"
"""Tag of the output that carries histograms of what no other block has."""

PAIRS_TOGETHER = 1 << 25
"""Of so many pairs of values a block waits for no other; those of one may be more, and are counted in parts."""


class ComputeMutualInformation(beam.PTransform):
    """(shard, items) -> the bytes of mutual_information.json, one element."""

    def __init__(self, spec: Spec, shards: int) -> None:
        super().__init__()
        self._spec, self._shards = spec, shards

    def expand(self, items: beam.PCollection) -> beam.PCollection:
        """Counts, merges and computes."""
        section = self._spec.mutual_information
        # One step takes every distinct number of every numeric feature, 16 bytes from each shard that has it.
        bounds = (
            items
            | "Items" >> beam.Values()
            | "CountNumbers" >> beam.Map(_count_numbers, self._spec.item).with_output_types(Packed)
            | "GatherNumbers" >> gather(NUMBERS)
            | "QuantileBounds" >> beam.Map(_bounds, section.numeric_buckets)
        )
        corpus = items | "CountItems" >> beam.MapTuple(_count_items) | "SumItems" >> beam.CombineGlobally(sum)
        counted = (
            items
            | "KeyByBlock"
            >> beam.FlatMap(_key_by_block, self._spec, corpus=AsSingleton(corpus)).with_output_types(Keyed)
            | "GroupBlocks" >> beam.GroupByKey()
            | "CountValues"
            >> beam.ParDo(_CountValues(self._spec, self._shards), bounds=AsSingleton(bounds)).with_outputs(
                _COMPLETE, main="counts"
            )
        )
        histograms = (
            counted["counts"]
            | "GroupCounts" >> beam.GroupByKey()
            | "Histogram" >> beam.MapTuple(lambda _, counts: histogram_of(counts)).with_output_types(Packed)
        )
        return (
            (histograms, counted[_COMPLETE])
            | "AllHistograms" >> union()
            | "GatherHistograms" >> gather(HISTOGRAM)
            | "Tell" >> beam.Map(lambda merged, spec: encode_information([merged], spec), self._spec)
        )


def _count_numbers(items: Packed, side: Side) -> Packed:
    return pack(count_numbers(unpack(items), side))


def _bounds(numbers: Packed, buckets: int) -> dict[str, list[float]]:
    return quantile_bounds(unpack(numbers), buckets)


def _count_items(_: int, items: Packed) -> int:
    return unpack(items).num_rows


def _key_by_block(element: Keyed, spec: Spec, *, corpus: int) -> Iterable[Keyed]:
    return key_by_block(unpack(element[1]), spec, corpus=corpus)


class _CountValues(beam.DoFn):
    """(block, its items) -> counts by the shard of their keys, of several blocks together, so that equal keys meet."""

    def __init__(self, spec: Spec, shards: int) -> None:
        self._spec, self._shards = spec, shards

    def start_bundle(self) -> None:
        self._waiting: list[Block] = []
        self._pairs = 0
        self._bounds: dict[str, list[float]] = {}

    def process(self, element: Grouped, bounds: dict[str, list[float]]) -> Iterable[Keyed]:
        block = open_block(element[1])
        self._waiting.append(block)
        self._pairs += block.estimated_pairs
        self._bounds = bounds
        if self._pairs >= PAIRS_TOGETHER:
            yield from self._count()

    def finish_bundle(self) -> Iterable[Last]:
        return give_last(self._count() if self._waiting else [])

    def _count(self) -> Iterator[Keyed | TaggedOutput]:
        counted = count_blocks(self._waiting, self._spec, bounds=self._bounds, shards=self._shards)
        self._waiting, self._pairs = [], 0
        for counts, complete in counted:
            yield from counts
            yield TaggedOutput(_COMPLETE, complete)
