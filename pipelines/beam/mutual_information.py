"""Mutual information over the corpus, as steps of the Beam job."""

from functools import partial

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from features.count_histograms import HISTOGRAM
from features.quantile_bounds import NUMBERS, quantile_bounds
from features.spec.spec import Spec
from pipelines.aggregation import kinds
from pipelines.aggregation.mutual_information import (
    CountBlocks,
    encode_information,
    histogram_of,
    key_by_block,
    numbers_of_items,
)
from pipelines.aggregation.packing import Packed, unpack
from pipelines.beam.gather import gather
from pipelines.beam.steps import outputs_in_bundles
from pipelines.beam.union import union


@beam.ptransform_fn
def compute_mutual_information(items: beam.PCollection, spec: Spec, *, shards: int) -> beam.PCollection:
    """(shard, items) -> the bytes of mutual_information.json, one element."""
    # One step takes every distinct number of every numeric feature, 16 bytes from each shard that has it.
    bounds = (
        items
        | "CountNumbers" >> beam.FlatMap(numbers_of_items, spec.item)
        | "GatherNumbers" >> gather(NUMBERS)
        | "QuantileBounds" >> beam.Map(_bounds, spec.mutual_information.numeric_buckets)
    )
    corpus = items | "CountItems" >> beam.MapTuple(_count_items) | "SumItems" >> beam.CombineGlobally(sum)
    count = partial(CountBlocks, spec, shards)
    counted = (
        items
        | "KeyByBlock" >> beam.FlatMap(key_by_block, spec, corpus=AsSingleton(corpus))
        | "GroupBlocks" >> beam.GroupByKey()
        | "CountValues" >> outputs_in_bundles(count, kinds.VALUE_COUNTS, kinds.HISTOGRAMS, bounds=AsSingleton(bounds))
    )
    histograms = (
        counted[kinds.VALUE_COUNTS] | "GroupCounts" >> beam.GroupByKey() | "Histogram" >> beam.FlatMap(histogram_of)
    )
    return (
        (histograms, counted[kinds.HISTOGRAMS])
        | "AllHistograms" >> union()
        | "GatherHistograms" >> gather(HISTOGRAM)
        | "Tell" >> beam.Map(lambda merged: encode_information([merged], spec))
    )


def _bounds(numbers: Packed, buckets: int) -> dict[str, list[float]]:
    return quantile_bounds(unpack(numbers), buckets)


def _count_items(_: int, items: Packed) -> int:
    return unpack(items).num_rows
