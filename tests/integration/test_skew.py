"""A query and an item that have half of all lines each, and a user: no step gets much more than its even share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import largest_group
import pytest
import tensorflow as tf
from json_lines import json_lines
from small_specs import small_tree

LINES, SHARDS = 4_000, 8
PATHS: dict[str, Any] = {
    "log": {"path": "log.jsonl", "event": None, "timestamp": "at"},
    "sources": {"items": {"path": "items.jsonl"}},
}


@pytest.fixture
def build_log(build: Any, write_raw: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`build_log(spec, rows, items, *flags)`: a build whose groups `largest_group` looks at."""
    monkeypatch.setattr("apache_beam.Pipeline.apply", largest_group.apply_and_look)
    monkeypatch.setattr("pipelines.beam.runner.HELD_BYTES", 0)
    largest_group.ROWS.clear()

    def run(spec: dict[str, Any], rows: list[dict[str, Any]], items: list[dict[str, Any]], *flags: str) -> Any:
        raw = write_raw(tmp_path / "raw", {"log.jsonl": json_lines(rows), "items.jsonl": json_lines(items)})
        built = build(tmp_path / "dataset", spec, "--shards", str(SHARDS), *flags, raw=raw)
        assert built.code == 0, built.error
        return built

    return run


def test_no_group_is_larger_than_its_share(build_log: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.aggregation.placement.HOT_EXAMPLES", 200)
    rows = [{"query_id": f"q{n}", "item_id": f"i{n}", "at": 1_704_067_200 + n} for n in range(LINES)]
    for row in rows[::2]:
        row["query_id"] = "half"
    for row in rows[1::2]:
        row["item_id"] = "half"
    items = [{"item_id": "half"}, *({"item_id": f"i{n}"} for n in range(0, LINES, 2))]
    built = build_log(small_tree(**PATHS), rows, items, "--set", "sources.item_join=shuffle")

    # Elsewhere all distinct terms of a vocabulary meet, or the most common texts of each shard, whatever their counts.
    counted = ("Analyse/", "GroupStatistics", "GatherStatistics/")
    found = {label: rows for label, rows in largest_group.ROWS.items() if not label.startswith(counted)}
    assert 500 <= found["GroupLines/CoGroupByKeyImpl/GroupByKey"] < 600
    # A shard's 500 pairs, their 250 + 1 queries' halves, and their 250 + 1 items'.
    assert 1_000 <= found["GroupPairsAndHalves/CoGroupByKeyImpl/GroupByKey"] < 1_200
    assert max(found.values()) < 1_200, [label for label in found if found[label] >= 1_200]
    records = [sum(1 for _ in tf.data.TFRecordDataset(str(file), "GZIP")) for file in built.files("train")]
    assert len(records) == SHARDS
    assert max(records) < 1.15 * sum(records) / SHARDS


def test_a_user_with_half_of_the_lines_is_cut_before_it_meets(build_log: Callable[..., Any]) -> None:
    rows = [{"query_id": f"q{n % 100}", "item_id": f"i{n % 10}", "at": 1_704_067_200 + n} for n in range(LINES)]
    for row in rows[::2]:
        row["query_id"] = "bot"
    items = [{"item_id": f"i{n}"} for n in range(10)]
    spec = small_tree(**PATHS, split={"method": "query_hash"}, session={"max_lines": 100, "max_history": 3})
    built = build_log(spec, rows, items)
    # The other fifty users have 40 lines each.
    assert built.manifest["counts"]["filtered/over_max_lines"] == 2_000 - 100
    assert largest_group.ROWS["GroupLines/CoGroupByKeyImpl/GroupByKey"] < 600
    assert largest_group.ALL_ROWS["GroupBusyUsers"] == 100, "the user's alone"
