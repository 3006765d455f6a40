"""The same log and tables in other formats, and compressed in other ways, make the same dataset."""

import bz2
import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import zstandard
from formats import avro, parquet
from json_lines import json_lines

Json = dict[str, Any]
Write = Callable[[list[Json], int], tuple[str, bytes]]
"""(rows, number of the file) -> ending of its name, content."""

DAYS = [f"2024-01-0{day}" for day in range(1, 5)]


def pack(content: bytes, number: int) -> tuple[str, bytes]:
    """Each file another way."""
    ways = (
        lambda: ("", content),
        lambda: (".gz", gzip.compress(content[:50]) + gzip.compress(content[50:])),
        lambda: (".zst", zstandard.compress(content[:50]) + zstandard.compress(content[50:])),
        lambda: (".bz2", bz2.compress(content[:50]) + bz2.compress(content[50:])),
    )
    return ways[number % 4]()


def as_json_lines(rows: list[Json], number: int) -> tuple[str, bytes]:
    ending, content = pack(json_lines(rows), number)
    return f".jsonl{ending}", content


def as_csv(rows: list[Json], number: int) -> tuple[str, bytes]:
    text = io.StringIO(newline="")
    names = [*reversed(rows[0]), "unused"]
    extra = {"unused": 'with "quotes", commas\nand newlines'}
    writer = csv.DictWriter(text, names, delimiter="\t" if number % 2 else ",", quoting=csv.QUOTE_ALL * (number == 3))
    writer.writeheader()
    for row in rows:
        writer.writerow(extra | {name: "|".join(v) if isinstance(v, list) else v for name, v in row.items()})
    ending, content = pack(text.getvalue().encode(), number)
    return (".tsv" if number % 2 else ".csv") + ending, content


def as_parquet(rows: list[Json], number: int) -> tuple[str, bytes]:
    compression = ("none", "gzip", "zstd", "snappy")[number % 4]
    return ".parquet", parquet(rows, row_group_size=40, compression=compression)


def as_avro(rows: list[Json], number: int) -> tuple[str, bytes]:
    types = {int: "long", str: ["null", "string"], list: {"type": "array", "items": "string"}}
    columns = {name: types[type(value)] for name, value in rows[0].items()}
    content = avro(rows, ("null", "deflate", "bzip2", "xz")[number % 4], sync_interval=500, **columns)
    ending, content = pack(content, number) if number == 0 else ("", content)
    return f".avro{ending}", content


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("log", "items"),
    [
        ([as_csv, as_avro, as_json_lines, as_parquet], as_csv),
        pytest.param([as_avro, as_csv, as_parquet, as_csv], as_avro, marks=pytest.mark.slow),
    ],
    ids=["items in CSV", "items in Avro"],
)
def test_other_formats_give_what_gzipped_json_lines_give(
    *, log: list[Write], items: Write, pages: Any, pages_dataset: Any, build: Any, write_raw: Any, tmp_path: Path
) -> None:
    """Each day in another format, and each file compressed in another way."""
    read = {
        name: [json.loads(line) for line in content.splitlines()]
        for name, content in pages.files.items()
        if content != b"not read"
    }
    files = {"log/2024-01-05/part.csv": b"not read", "items/2023-12-30/items.csv": b"not read"}
    for number, (day, write) in enumerate(zip(DAYS, log, strict=True)):
        ending, content = write(read[f"log/{day}/part.jsonl.gz"], number)
        files[f"log/{day}/part{ending}"] = content
    ending, content = items(read["items/2024-01-02/items.jsonl"], 2)
    files[f"items/2024-01-02/items{ending}"] = content
    table = {"path": "items/{date}/*", "id": "page", "list_separator": "|"}
    spec = pages.spec | {"sources": pages.spec["sources"] | {"items": table}}
    again = build(
        tmp_path / "again", spec, *pages.flags, "--shards", "3", "--json", raw=write_raw(tmp_path / "raw", files)
    )
    assert again.code == 0, again.error
    assert again.content == pages_dataset.content
    assert again.manifest["counts"] == pages_dataset.manifest["counts"]
    assert json.loads(again.stdout) == again.manifest


def test_days_off_without_a_file_or_a_line_change_nothing(
    pages: Any, pages_dataset: Any, build: Any, write_raw: Any, tmp_path: Path
) -> None:
    first = "log/2024-01-01/part.jsonl.gz"
    rows = [json.loads(line) for line in pages.files[first].splitlines()]
    empty = io.BytesIO()
    pq.write_table(pq.read_schema(io.BytesIO(parquet(rows))).empty_table(), empty)
    files = {
        "log/2023-12-30/part.parquet": empty.getvalue(),
        "log/2023-12-31/part.jsonl.gz": b"",
        first: json_lines([row for row in rows if row["at"] >= 1_704_088_800_000]),  # 6:00, where the window begins
    }
    log = pages.spec["sources"]["interactions"] | {"days_off": ["2023-12-29", "saturday", "sunday"]}
    spec = pages.spec | {"sources": pages.spec["sources"] | {"interactions": log}}
    flags = ("--data-start", "2023-12-29", "--data-end", "2024-01-04T12:00", "--shards", "2")
    again = build(tmp_path / "again", spec, *flags, raw=write_raw(tmp_path / "raw", pages.files | files))
    assert again.code == 0, again.error
    assert again.content == pages_dataset.content
    assert "sources.interactions.path: no files of days_off: log/2023-12-29/*\n" in again.stderr
