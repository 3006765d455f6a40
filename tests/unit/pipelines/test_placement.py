"""Where examples lie: a query's in one shard, a hot one's in all of them, each with its query's half."""

from collections import Counter

import pyarrow as pa
import pytest
from small_specs import small_spec

from features.pairs import PAIRS
from pipelines.aggregation.packing import pack, unpack
from pipelines.aggregation.placement import hot_queries, place_pairs, place_queries

HOT = pack(pa.table({"id": ["bot", "absent"]}))
NONE = pack(pa.table({"id": pa.array([], pa.string())}))


def pairs_of(rows):
    """(query, item, thinned) each."""
    columns = [
        {"query_id": q, "item_id": i, "split": 0, "count": 1, "first": None, "last": None, "thinned": thinned}
        for q, i, thinned in rows
    ]
    return pack(pa.Table.from_pylist(columns, schema=PAIRS))


def place(rows, hot):
    """(query, item) -> its shard of 8."""
    return {
        (row["query_id"], row["item_id"]): shard
        for shard, packed in place_pairs((0, pairs_of(rows)), hot, shards=8)
        for row in unpack(packed).to_pylist()
    }


def test_only_a_query_with_more_examples_than_65_536_is_hot():
    counts = pa.table({"id": ["a", "b", "c"], "train_count": [0, 0, 9], "examples": [65_536, 65_537, 1]})
    assert hot_queries(counts, small_spec())["id"].to_pylist() == ["b"]


def test_in_session_mode_none_is_since_max_lines_bounds_a_user():
    spec = small_spec(log={"timestamp": "at"}, split={"method": "query_hash"}, session={})
    counts = pa.table({"id": ["a"], "train_count": [0], "examples": [100_000]})
    assert hot_queries(counts, spec).num_rows == 0


def test_a_part_of_a_table_takes_no_items_with_it_that_its_histories_lack():
    histories = pa.array([["a", "b"], ["c"], ["b"], []], pa.large_list(pa.string()))
    coded = pa.LargeListArray.from_arrays(histories.offsets, histories.values.dictionary_encode())
    rows = [(user, "i", False) for user in ("u0", "u1", "u2", "u3")]
    pairs = unpack(pairs_of(rows)).append_column("history", coded)
    placed = [unpack(packed) for _, packed in place_pairs((0, pack(pairs)), NONE, shards=64)]
    found = {}
    for part in placed:
        history = part["history"].combine_chunks()
        found |= dict(zip(part["query_id"].to_pylist(), history.to_pylist(), strict=True))
        assert sorted(history.values.dictionary.to_pylist()) == sorted(set(history.values.to_pylist()))
    assert found == {"u0": ["a", "b"], "u1": ["c"], "u2": ["b"], "u3": []}
    assert len(placed) > 1


def test_a_query_s_examples_lie_together_and_a_hot_one_s_evenly_in_all_shards():
    rows = [(query, f"i{n}", False) for query in ("bot", "u1", "u2") for n in range(800)]
    placed = place(rows, HOT)
    assert len(placed) == 2_400
    assert len({shard for (query, _), shard in placed.items() if query == "u1"}) == 1
    spread = Counter(shard for (query, _), shard in placed.items() if query == "bot")
    assert sorted(spread) == list(range(8))
    assert max(spread.values()) < 140
    together = place(rows, NONE)
    assert len({shard for (query, _), shard in together.items() if query == "bot"}) == 1
    others = {pair: shard for pair, shard in placed.items() if pair[0] != "bot"}
    assert others == {pair: shard for pair, shard in together.items() if pair[0] != "bot"}


def test_where_a_pair_lies_does_not_depend_on_those_beside_it():
    rows = [("bot", f"i{n}", False) for n in range(50)]
    apart = {pair: shard for row in rows for pair, shard in place([row], HOT).items()}
    assert place(rows, HOT) == apart


def test_thinned_pairs_become_no_examples():
    assert list(place([("u", "a", True), ("u", "b", False)], NONE)) == [("u", "b")]


@pytest.mark.parametrize("hot", [HOT, NONE])
def test_a_hot_query_s_half_goes_to_every_shard_and_to_each_once(hot):
    element = (2, pack(pa.table({"id": ["u", "bot"], "half": [b"U", b"BOT"]})))
    placed = list(place_queries(element, hot, shards=4))
    assert placed[0] == element
    found = {shard: unpack(packed).to_pylist() for shard, packed in placed[1:]}
    copy = [{"id": "bot", "half": b"BOT"}]
    assert found == (dict.fromkeys((0, 1, 3), copy) if hot is HOT else {})
