"""Files of Parquet and Avro, and what is read of a file."""

import io
from collections.abc import Callable
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.aggregation.columns import Columns

Rows = list[dict[str, Any]]
Read = Callable[..., tuple[Rows, list[int], list[tuple[int, str]]]]
SCHEMA = pa.schema([("id", pa.string()), ("at", pa.float64()), ("tags", pa.list_(pa.string()))])
COLUMNS = Columns(SCHEMA, {"sources.items.id": "id"}, "at")


def ids(rows: Rows) -> list[str]:
    return [row["id"] for row in rows]


def parquet(data: Any, **options: Any) -> bytes:
    """Of a table, of rows, or of columns by their names."""
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(data) if isinstance(data, list) else pa.table(data), sink, **options)
    return sink.getvalue()


def avro(rows: Rows, codec: str = "null", sync_interval: int = 60, **types: Any) -> bytes:
    """Of rows, whose columns have these types; blocks of so many bytes or a little more."""
    fields = [{"name": name, "type": kind} for name, kind in types.items()]
    sink = io.BytesIO()
    schema = {"type": "record", "name": "row", "fields": fields}
    fastavro.writer(sink, schema, rows, codec=codec, sync_interval=sync_interval)
    return sink.getvalue()
