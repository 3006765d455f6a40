"""How large tables are that pass from step to step, told without pickling them.

Beam 2.77 samples sizes of elements, nearly all where they are few, and takes them by the coder of their type; without
one a build of 2 M lines pickled 260 MB for that.
"""

import functools

import pyarrow as pa
from apache_beam.coders import PickleCoder, registry
from apache_beam.coders.coder_impl import CallbackCoderImpl

from pipelines.aggregation.batches import Batch


class TableCoder(PickleCoder):
    """Pickles a table, as where it leaves a process, and measures it by its buffers."""

    def _create_impl(self) -> CallbackCoderImpl:
        pickled = super()._create_impl()
        return CallbackCoderImpl(pickled.encode, pickled.decode, lambda table: table.nbytes)


@functools.cache
def measure_tables() -> None:
    """From now on in this process, in graphs that are built."""
    for kind in (pa.Table, pa.RecordBatch, Batch):
        registry.register_coder(kind, TableCoder)
