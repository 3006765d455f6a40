"""Packed tables: how rows travel through a shuffle, a whole table per shard, as bytes that no engine takes apart."""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.shards import split_by_shard, take_apart

Packed: TypeAlias = bytes
"""A table as a compressed Arrow IPC stream."""

Keyed: TypeAlias = tuple[int, Packed]
"""A shard, and some of its rows."""


def pack(table: pa.Table) -> Packed:
    """Packs a table."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def unpack(packed: Packed) -> pa.Table:
    """Unpacks a table."""
    return pa.ipc.open_stream(pa.py_buffer(packed)).read_all()


def key_by_shard(table: pa.Table, by: str, *, shards: int) -> Iterable[Keyed]:
    """Takes a table apart by the shard of an id column."""
    for shard, rows in split_by_shard(table, by, shards=shards):
        yield shard, pack(rows)


def key_each(table: pa.Table, shard: npt.NDArray[np.int64]) -> Iterable[Keyed]:
    """Takes a table apart by the shard of each row, int64 [n]."""
    for number, rows in take_apart(table, shard):
        yield number, pack(rows)


def concat(tables: Iterable[Packed], schema: pa.Schema) -> pa.Table:
    """One table out of many, also of none, with the columns of a schema."""
    unpacked = (unpack(packed) for packed in tables)
    return pa.concat_tables([schema.empty_table(), *(table.select(schema.names).cast(schema) for table in unpacked)])
