"""Ranges that are read one after another by one `Reading`."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.aggregation.columns import Columns
from pipelines.aggregation.input_files import FileRange, InputFile
from pipelines.aggregation.reading import Reading
from pipelines.beam.sources import open_file
from stage.errors import StageError

COLUMNS = Columns(pa.schema([("id", pa.string())]), {"sources.items.id": "id"})


def compressed(directory: Path, number: int, *, cut: int | None = None) -> FileRange:
    """A file of one line, perhaps without its last bytes."""
    path = directory / f"log-{number}.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"id":"of file %d"}\n' % number)[:cut])
    return FileRange(InputFile(str(path), path.name, path.stat().st_size, number, "jsonl"), 0, None)


def test_each_line_comes_once_in_order_if_perhaps_with_a_later_file(tmp_path: Path) -> None:
    reading = Reading(COLUMNS, open_file=open_file)

    batches = [batch for number in range(5) for batch in reading.read(compressed(tmp_path, number))]
    assert len(batches) < 5
    batches += reading.end()

    assert [batch.rows.column("id").to_pylist() for batch in batches] == [[f"of file {n}"] for n in range(5)]
    assert [batch.file.name for batch in batches] == [f"log-{n}.jsonl.gz" for n in range(5)]
    assert [batch.places.tolist() for batch in batches] == [[n << 40] for n in range(5)]


def test_a_file_that_is_cut_is_named_after_whole_ones(tmp_path: Path) -> None:
    reading = Reading(COLUMNS, open_file=open_file)
    for number in range(2):
        list(reading.read(compressed(tmp_path, number)))

    with pytest.raises(StageError, match=r"log-2\.jsonl\.gz: cannot be read to its end"):
        list(reading.read(compressed(tmp_path, 2, cut=-5)))
