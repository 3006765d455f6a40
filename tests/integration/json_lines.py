"""JSON lines as tests write them."""

import json
from collections.abc import Iterable


def json_lines(rows: Iterable[object]) -> bytes:
    """A line for each row, in UTF-8."""
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
