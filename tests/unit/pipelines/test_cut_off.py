"""Files that end within a line, as one does that is still being copied."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.aggregation.columns import Columns
from pipelines.aggregation.cut_off import count_cut_off
from pipelines.aggregation.input_files import FileRange, Format, InputFile
from pipelines.aggregation.reading import read_batches

COLUMNS = Columns(pa.schema([("id", pa.string()), ("kind", pa.string())]), {"sources.items.id": "id"})
JSON = b'{"id":"a","kind":"b"}\n'  # 22 bytes


def cut_off(path: Path, content: bytes, format_: Format, *, starts: tuple[int, ...] = (0,)) -> list[int]:
    """The counts of all batches, which must be of this file."""
    path.write_bytes(content)
    file = InputFile(path=str(path), name=path.name, size=len(content), number=3, format=format_)
    ranges = zip(starts, (*starts[1:], None), strict=True)
    batches = [batch for start, end in ranges for batch in read_batches(FileRange(file, start, end), COLUMNS)]
    counts = [count_cut_off(batch) for batch in batches]
    assert {name for found in counts for name in found} <= {f"cut_off/{path}"}
    return [number for found in counts for number in found.values()]


@pytest.mark.parametrize(
    ("name", "format_", "content", "found"),
    [
        ("log.jsonl", "jsonl", JSON * 2 + JSON[:9], [1]),
        ("log.jsonl", "jsonl", JSON[:9], [1]),
        ("log.jsonl", "jsonl", JSON * 2 + JSON[:9] + b"\n", []),
        ("log.jsonl", "jsonl", JSON * 2 + JSON[:-1], []),
        ("log.jsonl", "jsonl", JSON[:9] + b"\n" + JSON[:-1], []),
        ("log.csv", "csv", b"id,kind\na,b\nc", [1]),
        ("log.csv", "csv", b'id,kind\na,b\nc,"d', [1]),
        ("log.csv", "csv", b"id,kind\na,b\nc\n", []),
        ("log.csv", "csv", b"id,kind\na\nc,d", []),
    ],
)
def test_a_plain_text_file_is_cut_off_where_its_last_line_is_bad_and_has_no_newline(
    tmp_path: Path, name: str, format_: Format, content: bytes, found: list[int]
) -> None:
    assert cut_off(tmp_path / name, content, format_) == found


def test_what_a_compressed_file_holds_is_whole_or_the_build_fails(tmp_path: Path) -> None:
    assert cut_off(tmp_path / "log.jsonl.gz", gzip.compress(JSON + JSON[:9]), "jsonl") == []


def test_only_the_last_range_of_a_file_tells(tmp_path: Path) -> None:
    content = JSON[:9] + b"\n" + JSON + JSON[:9]  # lines begin at 0, 10 and 32
    assert cut_off(tmp_path / "log.jsonl", content, "jsonl", starts=(0, 5, 20, 33)) == [1]
