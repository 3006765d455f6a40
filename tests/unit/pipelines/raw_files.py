"""What a conversion of public data wrote."""

import gzip
import json
from pathlib import Path
from typing import Any


def rows_of(output: Path, table: str) -> list[Any]:
    """The rows of a table, in the order of its files."""
    files = sorted(output.glob(f"{table}-0*"))
    return [json.loads(line) for file in files for line in gzip.open(file, "rt", encoding="utf-8")]
