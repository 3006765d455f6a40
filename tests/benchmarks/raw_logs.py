"""Generated logs to measure with, made once and kept in the working directory."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
from measure import run_command

from features.parsing.json_lines import parse_lines

COLUMNS = pa.schema(
    [("query_id", pa.string()), ("item_id", pa.string()), ("event", pa.string()), ("timestamp", pa.float64())]
)


def generate(work: Path, lines: int, *, entities_of: int | None = None) -> Path:
    """A raw directory of so many lines.

    Args:
        work: Where it is made and kept.
        lines: Of the log.
        entities_of: Lines of the log whose entities it has: a tenth of it queries, a fortieth items; by default these.
    """
    of = entities_of or lines
    directory = work / (f"raw-{lines}" if of == lines else f"raw-{lines}-entities-of-{of}")
    if not (directory / "manifest.json").exists():
        sizes = ("--interactions", str(lines), "--queries", str(of // 10), "--items", str(of // 40))
        run_command("generate", *sizes, "--output", str(directory), "--overwrite")
    return directory


def clean_log(work: Path, lines: int) -> Path:
    """One file of JSON lines, none of them malformed."""
    path = work / f"clean-{lines}.jsonl"
    if not path.exists():
        blocks = [
            gzip.decompress(file.read_bytes()) for file in sorted(generate(work, lines).glob("interactions-*.gz"))
        ]
        good = b"".join(_good_lines(block) for block in blocks)
        beside = path.with_suffix(".tmp")
        beside.write_bytes(good)
        beside.rename(path)
    return path


def _good_lines(block: bytes) -> bytes:
    parsed = parse_lines(block, COLUMNS)
    full = np.logical_and.reduce([column.is_valid().to_numpy(zero_copy_only=False) for column in parsed.rows.columns])
    return b"".join(block[start : block.index(b"\n", start) + 1] for start in parsed.offsets[full].tolist())
