"""What a rejected row says, as JSON for whoever reads rejects/."""

import json
from typing import Any

import pyarrow as pa

from features.parsing.list_numbers import DOUBLES, is_vector


def content_of(rows: pa.RecordBatch) -> list[bytes]:
    """Each row as JSON, with the replacement character where a text isn't UTF-8."""
    columns = [_as_python(column) for column in rows.columns]
    return [
        json.dumps(dict(zip(rows.schema.names, values, strict=True)), ensure_ascii=False, default=_as_text).encode()
        for values in zip(*columns, strict=True)
    ]


def _as_python(column: pa.Array) -> list[Any]:
    kind = column.type
    if pa.types.is_timestamp(kind):
        # A datetime can't hold all that a timestamp can; and Arrow's text of one with a zone needs to know the zone.
        texts = column.cast(pa.timestamp(kind.unit)).cast(pa.string()).to_pylist()
        return texts if kind.tz is None else [text and f"{text}Z" for text in texts]
    if pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
        column = column.cast(pa.list_(pa.binary()))
    elif is_vector(kind):
        # The shortest decimals that are this float32, 0.1 rather than 0.10000000149011612.
        column = column.cast(pa.list_(pa.string())).cast(DOUBLES)
    elif pa.types.is_string(kind):
        column = column.cast(pa.binary())
    values: list[Any] = column.to_pylist()
    return values


def _as_text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
