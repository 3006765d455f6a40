"""All tables of a collection as one, for what is small once it is summed up."""

from collections.abc import Iterable

import apache_beam as beam
import pyarrow as pa

from pipelines.aggregation.packing import Keyed, Packed, concat, pack


@beam.ptransform_fn
def gather(tables: beam.PCollection, schema: pa.Schema) -> beam.PCollection:
    """All packed tables as one, a single element, empty if there are none."""
    keyed = tables | "OneKey" >> beam.Map(lambda keyed: (0, keyed[1])).with_output_types(Keyed)
    empty = beam.Create([(0, pack(schema.empty_table()))]).with_output_types(Keyed)
    return (
        (keyed, tables.pipeline | "Nothing" >> empty)
        | "WithNothing" >> beam.Flatten()
        | "Group" >> beam.GroupByKey()
        | "Values" >> beam.Values()
        | "Concat" >> beam.Map(_concat, schema)
    )


def _concat(tables: Iterable[Packed], schema: pa.Schema) -> Packed:
    return pack(concat(tables, schema))
