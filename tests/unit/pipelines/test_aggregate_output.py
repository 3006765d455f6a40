"""What is written per shard of an aggregate: pairs, and their digest; entities; and rejects."""

import gzip
import hashlib
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.interactions import REJECTS
from features.pairs import PAIRS
from pipelines.aggregation.input_files import NamedFile
from pipelines.aggregation.output import (
    Target,
    digest_rows,
    shard_of_rejects,
    write_entities,
    write_pairs,
    write_rejects,
)
from pipelines.aggregation.packing import pack
from stage.manifest import File

ROWS = [
    {"query_id": "q1", "item_id": "a", "split": 0, "count": 2, "first": 5, "last": 9, "thinned": False},
    {"query_id": "q1", "item_id": "a", "split": 2, "count": 1, "first": 12, "last": 12, "thinned": False},
    {"query_id": "q1", "item_id": "a", "split": 0, "count": 1, "first": 12, "last": 12, "thinned": False},
    {"query_id": "q2", "item_id": "b", "split": 0, "count": 1, "first": None, "last": None, "thinned": True},
]


def table(rows: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=PAIRS)


def test_the_digest_adds_up_over_parts_in_any_order() -> None:
    whole = digest_rows(table(ROWS))
    assert digest_rows(table(ROWS[::-1])) == whole
    assert sum(digest_rows(table([row])) for row in ROWS) % 2**256 == whole
    assert digest_rows(table([])) == 0


def test_the_digest_depends_on_every_column() -> None:
    changes = {"query_id": "q3", "item_id": "c", "split": 1, "count": 3, "first": 4, "last": 10, "thinned": True}
    found = {digest_rows(table([ROWS[0] | {name: value}])) for name, value in changes.items()}
    assert len(found | {digest_rows(table(ROWS[:1]))}) == 8
    assert digest_rows(table([ROWS[0] | {"first": 0}])) != digest_rows(table([ROWS[0] | {"first": None}]))


def test_a_shard_written_twice_is_the_same_file_whatever_the_order_of_its_rows(tmp_path: Path) -> None:
    target = Target(str(tmp_path), "run", 3)
    first, again = (write_pairs((1, pack(table(rows))), target) for rows in (ROWS, ROWS[::-1]))
    assert first == again
    name = "pairs/run-00001-of-00003.parquet"
    content = (tmp_path / name).read_bytes()
    assert first.file == File(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest(), records=4)
    written = pq.ParquetFile(tmp_path / name).read()
    assert sorted(map(str, written.to_pylist())) == sorted(map(str, table(ROWS).to_pylist()))


def test_a_shard_of_entities_is_the_same_file_whatever_the_order_of_its_rows(tmp_path: Path) -> None:
    target = Target(str(tmp_path), "run", 3)
    entities = pa.table({"id": ["a", "b", "c"], "train_count": [3, 0, 1]})
    orders = (entities, entities.take([2, 1, 0]), entities.take([1, 0, 2]))
    first, *again = (write_entities((1, pack(rows)), target, table="items") for rows in orders)
    assert again == [first, first]


def rejects_at(*places: int) -> pa.Table:
    return pa.Table.from_pylist([{"place": place, "lines": 1} for place in places], schema=REJECTS)


def test_rejects_are_written_to_one_shard_in_whatever_order_they_come() -> None:
    assert len({shard_of_rejects(rejects_at(*places), 1_000) for places in ((21, 13, 8), (13, 8, 21), (8,))}) == 1


def test_rejects_of_whole_batches_lie_in_all_shards() -> None:
    """Of 20 Parquet files, each batch of which begins at a multiple of 65,536: 600 batches in 8 shards."""
    firsts = [(file << 40) + (batch << 16) for file in range(20) for batch in range(30)]
    batches = Counter(shard_of_rejects(rejects_at(first), 8) for first in firsts)
    assert sorted(batches) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert max(batches.values()) < 2 * 600 / 8


def test_rejects_stand_in_the_order_of_their_places_and_say_what_a_line_said_where_that_is_wanted(
    tmp_path: Path,
) -> None:
    row = {"reason": "not_json", "lines": 1, "content": b"{"}
    parts = [
        pack(pa.Table.from_pylist([row | {"place": place} for place in places], schema=REJECTS))
        for places in ((9, 2), (1 << 40, 5))
    ]
    names = {0: NamedFile("a.jsonl", "byte"), 1: NamedFile("b.parquet", "row")}
    for keep_content, content in ((False, {}), (True, {"content": "{"})):
        target = Target(str(tmp_path), "run", 1)
        written = write_rejects((0, parts), target, names=names, keep_content=keep_content)
        lines = gzip.decompress((tmp_path / written.file.name).read_bytes()).splitlines()
        assert [json.loads(line) for line in lines] == [
            {"reason": "not_json", "file": "a.jsonl", "byte": 2, "lines": 1, **content},
            {"reason": "not_json", "file": "a.jsonl", "byte": 5, "lines": 1, **content},
            {"reason": "not_json", "file": "a.jsonl", "byte": 9, "lines": 1, **content},
            {"reason": "not_json", "file": "b.parquet", "row": 0, "lines": 1, **content},
        ]
