"""true and false in columns of texts, a feature's or the event's: the same texts from each format, and no ids."""

from pathlib import Path

import pytest
from formats import avro, parquet
from json_lines import json_lines

from features.data_window import DataWindow
from features.entities import table_columns
from features.interactions import raw_columns, validate_lines
from features.spec.features import Side
from features.spec.sources import InteractionSource, TableSource
from pipelines.aggregation.batches import Batch
from pipelines.aggregation.columns import Columns
from pipelines.aggregation.input_files import find_files, ranges_of
from pipelines.aggregation.reading import read_batches
from stage.errors import StageError

SIDE = Side.model_validate({"features": {"free": {"kind": "categorical"}, "words": {"kind": "text", "column": "id"}}})
ROWS = [{"id": "a", "free": True}, {"id": "b", "free": None}, {"id": "c", "free": False}]


def read(directory: Path, name: str, content: bytes) -> list[Batch]:
    (directory / name).write_bytes(content)
    source = TableSource(path=name, id="id")
    files = find_files(name, str(directory), source=source, key="k", first_number=0, cure=None)
    columns = Columns(table_columns(source, SIDE), {"sources.items.id": "id"})
    return list(read_batches(ranges_of(files)[0], columns))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("all.jsonl", json_lines(ROWS)),
        ("bad_line.jsonl", json_lines(ROWS) + b"{\n"),
        ("beside_text.jsonl", json_lines([{"id": "a", "free": "true"}, *ROWS[1:]])),
        ("not_first.jsonl", json_lines([ROWS[0], {"id": "b"}, {"id": "c", "free": "false"}]) + b"{\n"),
        ("all.csv", b"id,free\na,true\nb,\nc,false\n"),
        ("all.parquet", parquet(ROWS)),
        ("all.avro", avro(ROWS, id="string", free=["null", "boolean"])),
        (
            "beside_text.avro",
            avro([{"id": "a", "free": "true"}, *ROWS[1:]], id="string", free=["null", "boolean", "string"]),
        ),
    ],
)
def test_they_are_the_texts_true_and_false(tmp_path: Path, name: str, content: bytes) -> None:
    (batch,) = read(tmp_path, name, content)
    rows = [{column: value or None for column, value in row.items()} for row in batch.rows.to_pylist()]
    texts = {True: "true", False: "false", None: None}
    assert rows == [{"id": row["id"], "free": texts[row["free"]]} for row in ROWS]


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.parquet", "x.avro"])
def test_an_event_that_says_whether_a_line_is_positive(tmp_path: Path, name: str) -> None:
    rows = [{"query_id": f"q{n}", "item_id": "i", "clicked": n % 2 == 0} for n in range(3)]
    contents = {
        "x.jsonl": json_lines(rows),
        "x.csv": b"query_id,item_id,clicked\nq0,i,true\nq1,i,false\nq2,i,true\n",
        "x.parquet": parquet(rows),
        "x.avro": avro(rows, query_id="string", item_id="string", clicked="boolean"),
    }
    (tmp_path / name).write_bytes(contents[name])
    log = InteractionSource(path=name, event="clicked", positive_events=["true"])
    files = find_files(name, str(tmp_path), source=log, key="k", first_number=0, cure=None)
    columns = Columns(raw_columns(log, Side()), {})
    (batch,) = read_batches(ranges_of(files)[0], columns)
    outcome = validate_lines(
        batch.rows, batch.places, source=log, window=DataWindow(), needs_time=False, context=Side(), test_start=None
    )
    assert outcome.kept.column("query_id").to_pylist() == ["q0", "q2"]
    assert (outcome.filtered, outcome.positive) == ({"not_positive": 1}, {"true": 2})


def test_they_are_no_ids_though_a_feature_reads_these_too(tmp_path: Path) -> None:
    (batch,) = read(tmp_path, "some.jsonl", json_lines([*ROWS, {"id": True, "free": True}]))
    assert batch.rows.num_rows == len(ROWS)
    assert [bad.reason for bad in batch.bad] == ["wrong_type (id)"]
    for name, content in (("x.parquet", parquet([{"id": True}])), ("x.avro", avro([{"id": True}], id="boolean"))):
        with pytest.raises(StageError, match=r"column id \(sources.items.id\): expected text or integers, found bool"):
            read(tmp_path, name, content)
