"""The batched shuffle: rows travel as whole tables, a few per shard, not one by one."""

from collections.abc import Iterable

import apache_beam as beam
import pyarrow as pa

from features.hashing import split_by_shard
from pipelines.beam import arrow_coder  # noqa: F401  (registers the coder)

KeyedTable = tuple[int, pa.Table]


def key_by_shard(table: pa.Table, by: str, shards: int) -> Iterable[KeyedTable]:
    """Takes a table apart by the shard of an id column."""
    yield from split_by_shard(table, by, shards)


def concat(tables: Iterable[pa.Table], schema: pa.Schema) -> pa.Table:
    """One table out of many, also of none."""
    return pa.concat_tables([schema.empty_table(), *(table.select(schema.names).cast(schema) for table in tables)])


class Gather(beam.PTransform):
    """All tables of a collection as one, as a single element: for what is small once it is summed up."""

    def __init__(self, schema: pa.Schema) -> None:
        super().__init__()
        self._schema = schema

    def expand(self, tables: beam.PCollection) -> beam.PCollection:
        """Keys every table alike, groups and concatenates; an empty collection gives an empty table."""
        keyed = tables | "OneKey" >> beam.Map(lambda table: (0, table)).with_output_types(KeyedTable)
        nothing = (
            tables.pipeline
            | "Nothing" >> beam.Create([0])
            | "EmptyTable"
            >> beam.Map(lambda key, schema: (key, schema.empty_table()), self._schema).with_output_types(KeyedTable)
        )
        return (
            (keyed, nothing)
            | "WithNothing" >> beam.Flatten()
            | "Group" >> beam.GroupByKey()
            | "Values" >> beam.Values()
            | "Concat" >> beam.Map(concat, self._schema).with_output_types(pa.Table)
        )
