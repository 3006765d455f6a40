"""Adding up counts, in every part of a job at once."""

import apache_beam as beam

from pipelines.aggregation.elements import decode_counts


@beam.ptransform_fn
def sum_counts(counts: beam.PCollection) -> beam.PCollection:
    """COUNTS as one mapping of name -> count."""
    return (
        counts
        | "Items" >> beam.FlatMap(lambda element: decode_counts(element[1]).items()).with_output_types(tuple[str, int])
        | "Sum" >> beam.CombinePerKey(sum)
        | "AsMapping" >> beam.combiners.ToDict()
    )
