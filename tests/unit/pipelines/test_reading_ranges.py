"""Ranges that are read one after another by one `Reading`."""

import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.aggregation import blocks
from pipelines.aggregation.blocks import read_blocks
from pipelines.aggregation.columns import Columns
from pipelines.aggregation.input_files import FileRange, InputFile
from pipelines.aggregation.reading import Reading
from stage.errors import StageError

COLUMNS = Columns(pa.schema([("id", pa.string())]), {"sources.items.id": "id"})


def compressed(directory: Path, number: int, *, cut: int | None = None) -> FileRange:
    """A file of one line, perhaps without its last bytes."""
    path = directory / f"log-{number}.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"id":"of file %d"}\n' % number)[:cut])
    file = InputFile(path=str(path), name=path.name, size=path.stat().st_size, number=number, format="jsonl")
    return FileRange(file, 0, None)


def test_each_line_comes_once_in_order_if_perhaps_with_a_later_file(tmp_path: Path) -> None:
    reading = Reading(COLUMNS)

    batches = [batch for number in range(5) for batch in reading.add(compressed(tmp_path, number))]
    assert len(batches) < 5
    batches += reading.end()

    assert [batch.rows.column("id").to_pylist() for batch in batches] == [[f"of file {n}"] for n in range(5)]
    assert [batch.file.name for batch in batches] == [f"log-{n}.jsonl.gz" for n in range(5)]
    assert [batch.places.tolist() for batch in batches] == [[n << 40] for n in range(5)]


def test_a_file_that_is_cut_is_named_after_whole_ones(tmp_path: Path) -> None:
    reading = Reading(COLUMNS)
    for number in range(2):
        list(reading.add(compressed(tmp_path, number)))

    with pytest.raises(StageError, match=r"log-2\.jsonl\.gz: cannot be read to its end"):
        list(reading.add(compressed(tmp_path, 2, cut=-5)))


SHORT = b'{"id":"a"}\n'  # 11 bytes
JSON_CURE = ", one JSON object, found a longer one; an array of objects is not read: write each on a line of its own"


@pytest.mark.parametrize(
    ("name", "before", "after", "cure"),
    [
        ("log.jsonl", SHORT, SHORT, JSON_CURE),
        ("log.jsonl.gz", SHORT, SHORT, JSON_CURE),
        ("log.csv", b"id\n", b"a\n", ", found a longer one; write each record on a line of its own"),
    ],
)
def test_a_line_has_a_greatest_length(
    refused: Callable[..., str],
    read: Callable[..., tuple[list[dict[str, str]], list[int], list[tuple[int, str]]]],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    before: bytes,
    after: bytes,
    cure: str,
) -> None:
    monkeypatch.setattr(blocks, "MAX_LINE_BYTES", 1 << 20)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1000)
    pack = gzip.compress if name.endswith(".gz") else bytes
    rows, *_ = read(name, pack(before + b" " * ((1 << 20) - 1) + b"\n" + after))
    assert rows[-1]["id"] == "a"
    said = refused(name, pack(before + b" " * (1 << 20) + b"\n" + after))
    assert said.startswith(f"TMP/{name}: byte {len(before)}: expected a line of up to 1 MiB{cure}")


def test_a_header_has_a_greatest_length_too(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MAX_LINE_BYTES", 1 << 20)
    said = refused("log.csv", b"x" * ((1 << 20) + 1))
    assert said.startswith("TMP/log.csv: byte 0: expected a line of up to 1 MiB, found a longer one; ")


def test_of_a_line_that_began_before_no_more_is_read_than_the_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 10)
    content = b"[" + b"1" * 10_000 + b"]"
    stream, taken = io.BytesIO(content), []
    monkeypatch.setattr(stream, "close", lambda: taken.append(stream.tell()))
    monkeypatch.setattr("stage.storage.open_input", lambda *_, **__: stream)
    file = InputFile(path="log.jsonl", name="log.jsonl", size=len(content), number=0, format="jsonl")
    part = FileRange(file, 1000, 2000)
    assert list(read_blocks(part)) == []
    assert taken == [2009]
