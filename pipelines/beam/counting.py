"""Counts as collections: a step that is retried counts once, which Beam's metrics don't."""

from collections.abc import Mapping

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

COUNTS = "counts"
"""Tag of the output that carries counts."""

REJECTS = "rejects"
"""Tag of the output that carries rejected lines."""


def count(counts: Mapping[str, int]) -> TaggedOutput:
    """An element for the output of counts."""
    return TaggedOutput(COUNTS, dict(counts))


@beam.ptransform_fn
def sum_counts(counts: beam.PCollection) -> beam.PCollection:
    """Many mappings of name -> count as one, which adds them up."""
    return (
        counts
        | "Items" >> beam.FlatMap(lambda found: list(found.items())).with_output_types(tuple[str, int])
        | "Sum" >> beam.CombinePerKey(sum)
        | "AsMapping" >> beam.combiners.ToDict()
    )
