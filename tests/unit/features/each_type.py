"""Columns of each type that a table may have, and a row of them."""

from typing import Any

import pyarrow as pa

COLUMNS = pa.schema(
    [("id", pa.string()), ("n", pa.float64()), ("tags", pa.list_(pa.string())), ("v", pa.list_(pa.float32()))]
)


def row(
    id: str | None = None,
    n: float | None = None,
    tags: list[str] | None = None,
    v: list[float | None] | None = None,
) -> dict[str, Any]:
    return {"id": id, "n": n, "tags": tags, "v": v}
