"""What Spark's tasks make of a range that is read in several batches, as any file of some megabytes is."""

from functools import partial
from pathlib import Path

import pytest
from json_lines import json_lines
from small_specs import small_spec

from features.data_window import DataWindow
from features.pseudonyms import Pseudonyms
from features.spec.spec import Spec
from pipelines.aggregation import steps
from pipelines.aggregation.elements import Element, decode_counts
from pipelines.aggregation.input_files import FileRange, InputFile
from pipelines.aggregation.item_join import want_items
from pipelines.aggregation.log import log_columns
from pipelines.aggregation.output import Written
from pipelines.aggregation.packing import unpack
from pipelines.aggregation.tables import raw_tables
from pipelines.spark import tasks
from pipelines.spark.elements import giving, then
from stage.manifest import File

SPEC = small_spec(log={"timestamp": "at"})


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a line or two, and lines that go on three at a time."""
    monkeypatch.setattr("pipelines.aggregation.blocks.BLOCK_BYTES", 90)
    monkeypatch.setattr("pipelines.aggregation.lines_to_shuffle.MOST_ROWS_BEFORE_SHUFFLE", 3)


def range_of(path: Path, content: bytes) -> FileRange:
    path.write_bytes(content)
    file = InputFile(path=str(path), name=path.name, size=len(content), number=0, format="jsonl")
    return FileRange(file, 0, len(content))


def counts_of(found: list[Element]) -> dict[str, int]:
    (counts,) = (decode_counts(packed) for kind, (_, packed) in found if kind == "counts")
    return counts


def values(found: list[Element], kind: str, column: str) -> list[str]:
    return sorted(value for one, (_, packed) in found if one == kind for value in unpack(packed)[column].to_pylist())


def test_every_line_of_the_log_goes_on_and_is_counted(tmp_path: Path) -> None:
    lines = [{"query_id": f"u{n}", "item_id": f"a{n}", "event": "get", "at": n} for n in range(8)]
    element = range_of(tmp_path / "log.jsonl", b"{\n" + json_lines(lines) + b"null\n")
    validate = partial(steps.ValidateLines, SPEC, window=DataWindow(), pseudonyms=Pseudonyms(), shards=2, bounds=None)
    read = partial(tasks.read_range, columns=log_columns(SPEC), begin=validate)
    found = [*then(read, "lines", more=giving("wanted", partial(want_items, shards=2)))(element)]
    assert values(found, "lines", "query_id") == [f"u{n}" for n in range(8)]
    assert values(found, "wanted", "id") == [f"a{n}" for n in range(8)]
    assert values(found, "rejects", "reason") == ["not_json", "not_json"]
    counts = counts_of(found)
    assert (counts["lines/read"], counts["rejected/not_json"]) == (10, 2)


def read_table(name: str, spec: Spec, element: FileRange) -> list[Element]:
    table = raw_tables(spec)[name]
    validate = partial(steps.ValidateRows, table, pseudonyms=Pseudonyms(), shards=2)
    return [*tasks.read_range(element, table.columns, begin=validate)]


def test_every_row_of_a_table_goes_on_and_is_counted(tmp_path: Path) -> None:
    rows = [{"item_id": f"a{n}", "app": "long enough to fill half a block of lines"} for n in range(5)]
    found = read_table("items", SPEC, range_of(tmp_path / "items.jsonl", json_lines(rows) + b"{\n"))
    ids = [f"a{n}" for n in range(5)]
    assert values(found, "item", "id") == values(found, "item_ids", "id") == ids
    assert values(found, "rejects", "reason") == ["items/not_json"]
    counts = counts_of(found)
    assert (counts["items/read"], counts["rejected/items/not_json"]) == (6, 1)


def test_the_ids_of_queries_are_none_of_the_items(tmp_path: Path) -> None:
    spec = small_spec(sources={"queries": {"path": "users", "id": "user"}})
    found = read_table("queries", spec, range_of(tmp_path / "users.jsonl", json_lines([{"user": "u1"}])))
    assert (values(found, "query", "id"), values(found, "item_ids", "id")) == (["u1"], [])


def test_a_file_that_a_task_wrote_again_is_one() -> None:
    pairs, items = (
        Written(name, File(name=f"{name}/0", size=3, sha256="ab", records=2), digest=2**255)
        for name in ("pairs", "items")
    )
    say = tasks.saying(lambda written: written)
    said = [element.keyed[1] for written in (pairs, items, pairs) for element in say(written)]
    assert tasks.decode_written(said) == [pairs, items]
