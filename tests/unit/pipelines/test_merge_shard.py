"""What all lines of a shard come to."""

from datetime import datetime

import pyarrow as pa
from small_specs import small_spec

from features.interactions import LINES
from features.pairs import one_by_one
from pipelines.aggregation.lines_to_shuffle import lines_of_shard
from pipelines.aggregation.merging import caps_apart, count_by_split, merge_shard
from pipelines.aggregation.packing import pack


def test_one_unknown_item_is_told_unless_nothing_of_bad_lines_may_be():
    rows = [{"query_id": "u", "item_id": item, "place": n} for n, item in enumerate(["b", "c2", "c10"])]
    for rejects, told in (("content", {"id\tunknown_item\tlog\tc10": 1}), ("place_only", {})):
        spec = small_spec(sources={"rejects": rejects})
        lines = lines_of_shard([pack(one_by_one(pa.Table.from_pylist(rows, LINES)))], spec)
        merged = merge_shard(lines, spec, bounds=None, known=pa.array([True, False, False]))
        assert merged.counts == {"rejected/unknown_item": 2} | told


def test_in_session_mode_a_user_s_examples_are_capped_though_no_step_comes_after():
    split = {"method": "query_hash", "validation": 0, "test": 0, "max_train_pairs_per_query": 2}
    spec = small_spec(log={"timestamp": "at"}, split=split, session={"min_history": 0})
    rows = [
        {"query_id": "u", "item_id": item, "event": "e", "timestamp": datetime(2024, 1, day), "place": day}
        for day, item in enumerate("abcd", start=1)
    ]
    lines = lines_of_shard([pack(one_by_one(pa.Table.from_pylist(rows, LINES)))], spec)
    merged = merge_shard(lines, spec, bounds=None, known=pa.array([True] * 4))
    assert sorted(merged.pairs["item_id"].to_pylist()) == ["c", "d"]
    assert merged.counts == {"filtered/over_cap": 2}
    assert not caps_apart(spec)  # a step that would leave out histories and context


def test_examples_with_an_empty_history_are_counted():
    rows = [
        {"query_id": user, "item_id": item, "event": "e", "timestamp": datetime(2024, 1, day), "place": day}
        for day, (user, item) in enumerate([("u", "a"), ("v", "a"), ("u", "b"), ("w", "c")], start=1)
    ]
    of_all = {"lines/kept": 4, "histories/empty": 3}
    for least, gap, told in (
        (0, None, of_all),
        (0, 86_400, of_all | {"histories/empty": 4}),
        (1, None, {"lines/kept": 1}),
    ):
        split = {"method": "query_hash", "validation": 0, "test": 0}
        spec = small_spec(log={"timestamp": "at"}, split=split, session={"min_history": least, "gap": gap})
        lines = lines_of_shard([pack(one_by_one(pa.Table.from_pylist(rows, LINES)))], spec)
        counts = count_by_split(merge_shard(lines, spec, bounds=None, known=pa.array([True] * 4)).pairs)
        assert {name: number for name, number in counts.items() if not name.startswith("pairs/")} == told
