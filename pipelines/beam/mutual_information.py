"""Mutual information over the corpus, as steps of the Beam job."""

from collections.abc import Iterable, Iterator

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from features.joint_counts import HISTOGRAM, Block
from features.quantile_bounds import NUMBERS, count_numbers, quantile_bounds
from features.spec import Side, Spec
from pipelines.aggregation.corpus import count_blocks, histogram_of, key_by_block, open_block, tell
from pipelines.aggregation.packing import Keyed, Packed, pack, unpack
from pipelines.beam.shuffle import Gather, Grouped

PAIRS_TOGETHER = 1 << 24
"""Pairs of values that are counted at once: below half a gigabyte of counts even if no two are equal."""


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
            | "Histogram" >> beam.MapTuple(lambda _, counts: histogram_of(counts)).with_output_types(Packed)
            | "GatherHistograms" >> Gather(HISTOGRAM)
            | "Tell" >> beam.Map(lambda merged, spec: tell([merged], spec), self._spec)
        )


def _count_numbers(items: Packed, side: Side) -> Packed:
    return pack(count_numbers(unpack(items), side))


def _bounds(numbers: Packed, buckets: int) -> dict[str, list[float]]:
    return quantile_bounds(unpack(numbers), buckets)


def _key_by_block(element: Keyed) -> Iterable[Keyed]:
    return key_by_block(unpack(element[1]))


class _CountValues(beam.DoFn):
    """(block, its items) -> counts by the shard of their keys, of several blocks together, so that equal keys meet."""

    def __init__(self, spec: Spec, shards: int) -> None:
        self._spec, self._shards = spec, shards

    def start_bundle(self) -> None:
        self._waiting: list[Block] = []
        self._pairs = 0

    def process(self, element: Grouped, bounds: dict[str, list[float]]) -> Iterable[Keyed]:
        block = open_block(element[1], self._spec, bounds=bounds)
        self._waiting.append(block)
        self._pairs += block.pairs
        if self._pairs >= PAIRS_TOGETHER:
            yield from self._flush()

    def finish_bundle(self) -> Iterable[beam.utils.windowed_value.WindowedValue]:
        for element in self._flush():
            yield beam.transforms.window.GlobalWindows.windowed_value(element)

    def _flush(self) -> Iterator[Keyed]:
        if self._waiting:
            yield from count_blocks(self._waiting, self._shards)
        self._waiting, self._pairs = [], 0
