"""Vectors: the same float32 from each format, whatever type its numbers have, and columns that hold none."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from formats import avro, parquet

from features.spec.sources import Source
from pipelines.aggregation import batches
from pipelines.aggregation.batches import Batch
from pipelines.aggregation.bigquery import batch_rows
from pipelines.aggregation.columns import Columns
from pipelines.aggregation.input_files import InputFile, find_files, ranges_of
from pipelines.aggregation.reading import read_batches
from stage.errors import StageError

SCHEMA = pa.schema([("id", pa.string()), ("v", pa.list_(pa.float32()))])
COLUMNS = Columns(SCHEMA, {"sources.items.id": "id"}, optional={"item.features.v": "v"})
ROWS = [{"id": "a", "v": [0.1, 1e-3, -2.0, 3.0]}, {"id": "b", "v": None}, {"id": "c", "v": [7.038531e-26, 1e39]}]
READ = [
    {"id": "a", "v": [0.10000000149011612, 0.0010000000474974513, -2.0, 3.0]},
    {"id": "b", "v": None},
    # By way of a double: that text itself is nearer to 7.038530691851209e-26.
    {"id": "c", "v": [7.038531308148791e-26, float("inf")]},
]
LINES = b'{"id":"a","v":[0.1,1e-3,-2,3]}\n{"id":"b"}\n{"id":"c","v":[7.038531e-26,1e39]}\n'
ARRAY = {"type": "array", "items": ["null", "double", "long"]}


def read(directory: Path, name: str, content: bytes) -> list[Batch]:
    (directory / name).write_bytes(content)
    source = Source(path=name, list_separator="|") if name.endswith("csv") else Source(path=name)
    files = find_files(name, str(directory), source=source, key="k", first_number=0, cure=None)
    return list(read_batches(ranges_of(files)[0], COLUMNS))


def rows_of(found: list[Batch]) -> list[dict[str, Any]]:
    assert all(batch.rows.schema.equals(SCHEMA) for batch in found)
    return [row for batch in found for row in batch.rows.to_pylist()]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.jsonl", LINES),
        ("beside_a_bad_line.jsonl", LINES + b"{\n"),
        ("alone.jsonl", LINES.replace(b"}", b',"x":Infinity}') + b"{\n"),
        ("x.csv", b"id,v\na,0.1|1e-3|-2|3\nb,\nc,7.038531e-26|1e39\n"),
        ("x.parquet", parquet(ROWS)),
        ("x.avro", avro(ROWS, id="string", v=["null", ARRAY])),
    ],
)
def test_numbers_are_the_same_in_each_format(
    tmp_path: Path, name: str, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_ROWS_WITH_VECTORS", 2)
    found = read(tmp_path, name, content)
    assert rows_of(found) == READ
    assert len(found) == (2 if name in ("x.parquet", "x.avro") else 1)


def test_rows_of_bigquery_have_vectors() -> None:
    file = InputFile(path="bq://p.d.t", name="bq://p.d.t", size=0, number=0, format="bigquery")
    rows = [*ROWS[:2], {"id": "c", "v": [Decimal("7.038531e-26"), 10**39]}]
    assert rows_of([batch_rows(rows, COLUMNS, file=file)]) == READ


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (pa.list_(pa.float16()), [[0.5, None], None, []], [[0.5, None], None, []]),
        (pa.large_list(pa.float32()), [[0.1, float("inf")], None, []], [[0.10000000149011612, float("inf")], None, []]),
        (pa.list_(pa.float32(), 2), [[0.5, None], [1.0, 2.0]], [[0.5, None], [1.0, 2.0]]),
        # Of JSON 2^60 + 2^36 + 1 would be read as a double too, and so be 2^60.
        (pa.list_(pa.int64()), [[2**60 + 2**36 + 1, None], None], [[2.0**60, None], None]),
        (pa.list_(pa.uint64(), 1), [[2**64 - 1]], [[2.0**64]]),
        (pa.list_(pa.decimal128(9, 2)), [[Decimal("0.1"), None]], [[0.10000000149011612, None]]),
        (pa.large_list(pa.decimal256(50, 2)), [[Decimal(-3)], None], [[-3.0], None]),
        (pa.list_(pa.null()), [[None, None], None], [[None, None], None]),
    ],
)
def test_vectors_of_parquet_are_of_numbers_of_any_type(
    tmp_path: Path, kind: pa.DataType, given: list[Any], expected: list[list[float | None] | None]
) -> None:
    content = parquet({"id": ["a"] * len(given), "v": pa.array(given, kind)})
    assert [row["v"] for row in rows_of(read(tmp_path, "x.parquet", content))] == expected


def test_missing_lists_of_a_fixed_size_which_pyarrow_cannot_read_are_told_with_what_to_do(tmp_path: Path) -> None:
    content = parquet({"id": ["a", "b"], "v": pa.array([[0.5, 1.0], None], pa.list_(pa.float32(), 2))})
    with pytest.raises(StageError) as caught:
        read(tmp_path, "x.parquet", content)
    assert str(caught.value) == (
        f"{tmp_path}/x.parquet: cannot be read to its end: Expected all lists to be of size=2 but index 2 had size=0; "
        "Arrow can't read missing lists of a fixed size: write lists of any size"
    )


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        *(
            (
                "x.parquet",
                parquet({"id": ["a"], "v": pa.array([None], kind)}),
                f"found {str(kind).replace('item', 'element')}",
            )
            for kind in (pa.list_(pa.string()), pa.list_(pa.bool_()), pa.list_(pa.list_(pa.float64())), pa.float64())
        ),
        (
            "x.parquet",
            parquet({"id": ["a"], "v": ["0.1 0.2"]}),
            "found string; give the feature the kind categorical or text, or split it into a list of numbers where the "
            "file is written",
        ),
        ("x.avro", avro([], id="string", v={"type": "array", "items": ["null", "string"]}), "found an array of string"),
        ("x.avro", avro([], id="string", v=["null", "double"]), "found double; give the feature the kind numeric"),
    ],
)
def test_columns_that_are_no_vectors_are_refused(tmp_path: Path, name: str, content: bytes, found: str) -> None:
    with pytest.raises(StageError) as caught:
        read(tmp_path, name, content)
    expected = f"{tmp_path}/{name}: column v (item.features.v): expected lists of numbers, {found}"
    assert str(caught.value).startswith(expected)


def test_a_row_of_avro_whose_array_holds_more_than_numbers_is_rejected(tmp_path: Path) -> None:
    rows = [{"id": "a", "v": [1.5, None]}, {"id": "b", "v": [1.5, "x"]}, {"id": "c", "v": [True]}]
    array = {"type": "array", "items": ["null", "boolean", "double", "string"]}
    (batch,) = read(tmp_path, "x.avro", avro(rows, id="string", v=array))
    assert batch.rows.to_pylist() == rows[:1]
    assert [(bad.offset, bad.reason) for bad in batch.bad] == [(1, "wrong_type (v)"), (2, "wrong_type (v)")]


def test_a_rejected_row_of_parquet_shows_numbers_as_they_were_written(tmp_path: Path) -> None:
    content = parquet({"id": [b"\xff"], "v": [[0.1, None, -2.0]]})
    (batch,) = read(tmp_path, "x.parquet", content)
    assert [bad.content for bad in batch.bad] == ['{"id": "\ufffd", "v": [0.1, null, -2.0]}'.encode()]
