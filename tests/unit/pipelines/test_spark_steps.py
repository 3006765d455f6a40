"""What Spark's tasks make of a range that is read in several batches, as any file of some megabytes is."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from json_lines import json_lines

from features.interactions import Window
from features.pseudonyms import Pseudonyms
from features.spec.sources import TableSource
from features.spec.spec import Spec
from pipelines.aggregation.input_files import FileRange, InputFile
from pipelines.aggregation.item_join import ByItem
from pipelines.aggregation.output import Written
from pipelines.aggregation.packing import unpack
from pipelines.aggregation.tables import raw_tables
from pipelines.spark import steps
from pipelines.spark.elements import Element

SPEC = Spec.model_validate(
    {
        "name": "s",
        "sources": {"interactions": {"path": "log", "timestamp": "at"}, "items": {"path": "items"}},
        "query": {"features": {"user": {"kind": "id"}}},
        "item": {"features": {"app": {"kind": "id"}}},
    }
)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a line or two, and lines that go on three at a time."""
    monkeypatch.setattr("pipelines.aggregation.blocks.BLOCK_BYTES", 90)
    monkeypatch.setattr("pipelines.aggregation.log.MOST_ROWS_BEFORE_SHUFFLE", 3)


def range_of(path: Path, content: bytes) -> FileRange:
    path.write_bytes(content)
    file = InputFile(path=str(path), name=path.name, size=len(content), number=0, format="jsonl")
    return FileRange(file, 0, len(content))


def counts_of(found: list[Element]) -> dict[str, int]:
    return steps.total_counts([one.packed for one in found if one.kind == steps.COUNTS])


def values(found: list[Element], kind: str, column: str) -> list[str]:
    packed = [one.packed for one in found if one.kind == kind]
    return sorted(value for one in packed for value in unpack(one)[column].to_pylist())


@pytest.mark.parametrize("item_join", ["shuffle", "side_input"])
def test_every_line_of_the_log_goes_on_and_is_counted(tmp_path: Path, item_join: ByItem) -> None:
    lines = [{"query_id": f"u{n}", "item_id": f"a{n}", "event": "get", "at": n} for n in range(8)]
    element = range_of(tmp_path / "log.jsonl", b"{\n" + json_lines(lines) + b"null\n")
    found = list(
        steps.read_log_range(element, SPEC, window=Window(), pseudonyms=Pseudonyms(), shards=2, item_join=item_join)
    )
    assert values(found, steps.LINES, "query_id") == [f"u{n}" for n in range(8)]
    wanted = [f"a{n}" for n in range(8)] if item_join == "shuffle" else []
    assert values(found, steps.WANTED, "id") == wanted
    assert values(found, steps.REJECTS, "reason") == ["not_json", "not_json"]
    counts = counts_of(found)
    assert (counts["lines/read"], counts["rejected/not_json"]) == (10, 2)


@pytest.mark.parametrize("item_join", ["side_input", "shuffle"])
def test_every_row_of_a_table_goes_on_and_is_counted(tmp_path: Path, item_join: ByItem) -> None:
    rows = [{"item_id": f"a{n}", "app": "long enough to fill half a block of lines"} for n in range(5)]
    element = range_of(tmp_path / "items.jsonl", json_lines(rows) + b"{\n")
    items = raw_tables(SPEC)["items"]
    found = list(steps.read_table_range(element, items, pseudonyms=Pseudonyms(), shards=2, item_join=item_join))
    ids = [f"a{n}" for n in range(5)]
    assert values(found, steps.ITEM_ROWS, "id") == ids
    assert values(found, steps.ITEM_IDS, "id") == (ids if item_join == "side_input" else [])
    assert values(found, steps.REJECTS, "reason") == ["items/not_json"]
    counts = counts_of(found)
    assert (counts["items/read"], counts["rejected/items/not_json"]) == (6, 1)


def test_the_ids_of_queries_are_none_of_the_items(tmp_path: Path) -> None:
    sources = SPEC.sources.model_copy(update={"queries": TableSource(path="users", id="user")})
    queries = raw_tables(SPEC.model_copy(update={"sources": sources}))["queries"]
    element = range_of(tmp_path / "users.jsonl", json_lines([{"user": "u1"}]))
    found = list(steps.read_table_range(element, queries, pseudonyms=Pseudonyms(), shards=2, item_join="side_input"))
    assert (values(found, steps.QUERY_ROWS, "id"), values(found, steps.ITEM_IDS, "id")) == (["u1"], [])


def test_a_file_that_a_task_wrote_again_is_one() -> None:
    pairs, items = (
        Written(content=name, name=f"{name}/0", size=3, sha256="ab", records=2, digest=7) for name in ("pairs", "items")
    )
    said = [json.dumps(asdict(written)).encode() for written in (pairs, items, pairs)]
    assert steps.decode_written(said) == [pairs, items]
