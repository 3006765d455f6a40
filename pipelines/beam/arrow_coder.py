"""How Arrow tables travel between Beam steps: as compressed Arrow IPC, not as pickles."""

import apache_beam as beam
import pyarrow as pa
from apache_beam.coders import Coder

# LZ4, not Zstandard: encoding took 5.6 s of a 2 M line build before, under 2 s now, for a fifth more bytes.
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class ArrowTableCoder(Coder):
    """Encodes a `pyarrow.Table`."""

    def encode(self, value: pa.Table) -> bytes:
        """The table as an IPC stream."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema, options=_OPTIONS) as writer:
            writer.write_table(value)
        return sink.getvalue().to_pybytes()

    def decode(self, encoded: bytes) -> pa.Table:
        """The table of an IPC stream."""
        return pa.ipc.open_stream(pa.py_buffer(encoded)).read_all()

    def is_deterministic(self) -> bool:
        """Tables are values, never keys."""
        return False

    def to_type_hint(self) -> type:
        """What it encodes."""
        return pa.Table


beam.coders.registry.register_coder(pa.Table, ArrowTableCoder)
