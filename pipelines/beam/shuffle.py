"""The batched shuffle: rows travel as whole tables, a few per shard, packed, not one by one.

A packed table is bytes to Beam, so no runner takes it apart where it only has to carry it.
"""

from collections.abc import Iterable

import apache_beam as beam
import pyarrow as pa

from features.hashing import split_by_shard

Packed = bytes
"""A table as a compressed Arrow IPC stream."""

Keyed = tuple[int, Packed]
"""A shard, and some of its rows."""

Grouped = tuple[int, Iterable[Packed]]
"""A shard, and all of its rows."""

CoGrouped = tuple[int, dict[str, Iterable[Packed]]]
"""A shard, and all of its rows of several collections, by name."""

_OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd")


def pack(table: pa.Table) -> Packed:
    """Packs a table."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_OPTIONS) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def unpack(packed: Packed) -> pa.Table:
    """Unpacks a table."""
    return pa.ipc.open_stream(pa.py_buffer(packed)).read_all()


def key_by_shard(table: pa.Table, by: str, shards: int) -> Iterable[Keyed]:
    """Takes a table apart by the shard of an id column."""
    for shard, rows in split_by_shard(table, by, shards):
        yield shard, pack(rows)


def concat(tables: Iterable[Packed], schema: pa.Schema) -> pa.Table:
    """One table out of many, also of none, with the columns of a schema."""
    unpacked = (unpack(packed) for packed in tables)
    return pa.concat_tables([schema.empty_table(), *(table.select(schema.names).cast(schema) for table in unpacked)])


class Gather(beam.PTransform):
    """All tables of a collection as one, as a single element: for what is small once it is summed up."""

    def __init__(self, schema: pa.Schema) -> None:
        super().__init__()
        self._schema = schema

    def expand(self, tables: beam.PCollection) -> beam.PCollection:
        """Keys every packed table alike, groups and concatenates; an empty collection gives an empty table."""
        keyed = tables | "OneKey" >> beam.Map(lambda packed: (0, packed)).with_output_types(Keyed)
        nothing = tables.pipeline | "Nothing" >> beam.Create([(0, pack(self._schema.empty_table()))])
        return (
            (keyed, nothing | "Typed" >> beam.Map(lambda element: element).with_output_types(Keyed))
            | "WithNothing" >> beam.Flatten()
            | "Group" >> beam.GroupByKey()
            | "Values" >> beam.Values()
            | "Concat" >> beam.Map(_concat, self._schema).with_output_types(Packed)
        )


def _concat(tables: Iterable[Packed], schema: pa.Schema) -> Packed:
    return pack(concat(tables, schema))
