"""Lines to pairs: one example by hand for each rule."""

import pyarrow as pa

from features.interactions import LINES
from features.pairs import Kept, cap_pairs, group_lines, merge_lines, one_by_one, unknown_items
from features.spec.split import Split
from features.split import TimeBounds

BOUNDS = TimeBounds(100_000_000, 200_000_000)


def lines(*rows):
    """(query, item, event, second) each."""
    query, item, event, time = zip(*rows, strict=True) if rows else ([], [], [], [])
    micros = pa.array([None if t is None else t * 1_000_000 for t in time], pa.int64())
    table = [pa.array(query, pa.string()), pa.array(item, pa.string()), pa.array(event, pa.string())]
    alone = pa.table([*table, micros.cast(pa.timestamp("us")), pa.array(range(len(rows)))], schema=LINES)
    return group_lines(one_by_one(alone))


def merge(log, *, drop_duplicates=True, queries_are_items=False, **keys):
    split = Split(method="time", validation_seconds=1, **keys)
    merged = merge_lines(
        log, split=split, bounds=BOUNDS, drop_duplicates=drop_duplicates, queries_are_items=queries_are_items
    )
    capped = cap_pairs(merged.rows, split)
    return Kept(capped.rows, merged.filtered + capped.filtered)


def pairs(merged):
    """(query, item, split, lines, second of the minute of the first, and of the last)."""
    return sorted(
        (p["query_id"], p["item_id"], p["split"], p["count"], p["first"].second, p["last"].second)
        for p in merged.rows.to_pylist()
    )


def test_lines_of_a_pair_become_one_with_their_count_and_their_times():
    log = lines(("q", "a", "view", 5), ("q", "a", "buy", 3), ("q", "a", "view", 9), ("q", "b", "view", 7))
    assert pairs(merge(log)) == [("q", "a", 0, 3, 3, 9), ("q", "b", 0, 1, 7, 7)]


def test_only_lines_equal_in_query_item_event_and_time_are_duplicates():
    log = lines(("q", "a", "view", 5), ("q", "a", "view", 5), ("q", "a", "buy", 5), ("q", "a", "view", 6))
    assert pairs(merge(log)) == [("q", "a", 0, 3, 5, 6)]
    assert merge(log).filtered == {"duplicate": 1}
    assert pairs(merge(log, drop_duplicates=False)) == [("q", "a", 0, 4, 5, 6)]


def test_to_the_cap_a_pair_without_a_time_is_older_than_any_other():
    log = lines(("q", "a", "view", None), ("q", "b", "view", 0), ("q", "c", "view", None))
    split = Split(validation=0, test=0, max_train_pairs_per_query=1)
    merged = merge_lines(log, split=split, bounds=None, drop_duplicates=True, queries_are_items=False)
    assert cap_pairs(merged.rows, split).rows["item_id"].to_pylist() == ["b"]


def test_lines_without_event_and_time_are_duplicates_of_each_other():
    log = lines(("q", "a", None, None), ("q", "a", None, None))
    merged = merge_lines(log, split=Split(test=0), bounds=None, drop_duplicates=True, queries_are_items=False)
    assert merged.rows.column("count").to_pylist() == [1]
    assert merged.filtered == {"duplicate": 1}


def test_no_count_or_time_of_a_training_pair_knows_the_future():
    log = lines(("q", "a", "view", 5), ("q", "a", "view", 105), ("q", "a", "buy", 205))
    merged = merge(log)
    assert pairs(merged) == [("q", "a", 0, 1, 5, 5)]
    assert merged.filtered == {"pair_of_earlier_split": 2}


def test_repeat_consumption_keeps_the_pairs_of_earlier_splits():
    log = lines(("q", "a", "view", 5), ("q", "a", "view", 105), ("q", "a", "buy", 206))
    found = pairs(merge(log, repeat_consumption=True))
    assert found == [("q", "a", 0, 1, 5, 5), ("q", "a", 1, 1, 45, 45), ("q", "a", 2, 1, 26, 26)]


def test_a_cold_item_loses_its_training_pairs_and_as_a_query_every_pair():
    # XXH3-64 with the seed 0xC01D puts c and h below one half of all hashes, a, b and d above.
    log = lines(
        ("a", "c", "e", 5), ("a", "d", "e", 6), ("d", "c", "e", 105), ("a", "b", "e", 206), ("c", "a", "e", 7),
        ("c", "d", "e", 207), ("h", "b", "e", 108), ("d", "a", "e", 9), ("d", "c", "e", 10), ("a", "c", "e", 208),
    )  # fmt: skip
    users = merge(log, cold_items=0.5)
    # The test pair (a, c) and the validation pair (d, c) go all the same, as leaks.
    assert pairs(users) == [
        ("a", "b", 2, 1, 26, 26), ("a", "d", 0, 1, 6, 6), ("c", "a", 0, 1, 7, 7), ("c", "d", 2, 1, 27, 27),
        ("d", "a", 0, 1, 9, 9), ("h", "b", 1, 1, 48, 48),
    ]  # fmt: skip
    assert users.filtered == {"pair_of_earlier_split": 2, "cold_item": 2}
    items = merge(log, cold_items=0.5, queries_are_items=True)
    assert pairs(items) == [("a", "b", 2, 1, 26, 26), ("a", "d", 0, 1, 6, 6), ("d", "a", 0, 1, 9, 9)]
    assert items.filtered == {"pair_of_earlier_split": 2, "cold_item": 5}


def test_the_cap_keeps_the_latest_training_pairs_and_leaves_the_other_splits_alone():
    log = lines(("q", "a", "e", 5), ("q", "b", "e", 9), ("q", "c", "e", 105), ("p", "a", "e", 1))
    merged = merge(log, max_train_pairs_per_query=1)
    assert pairs(merged) == [("p", "a", 0, 1, 1, 1), ("q", "b", 0, 1, 9, 9), ("q", "c", 1, 1, 45, 45)]
    assert merged.filtered == {"over_cap": 1}


def test_an_unknown_item_is_one_rejected_row_per_pair_with_its_lines_and_first_place():
    log = lines(("q", "x", "e", 2), ("q", "x", "e", 2), ("q", "x", "e", 1), ("p", "x", "e", 3))
    assert sorted(unknown_items(log).to_pylist(), key=lambda row: row["place"]) == [
        {"reason": "unknown_item", "place": 0, "lines": 3, "content": b"q\tx"},
        {"reason": "unknown_item", "place": 3, "lines": 1, "content": b"p\tx"},
    ]


def test_no_lines_give_no_pairs():
    merged = merge(lines(), max_train_pairs_per_query=1, train_fraction=0.5)
    assert merged.rows.num_rows == 0
    assert not merged.filtered
    assert unknown_items(lines()).num_rows == 0


def test_thinning_keeps_its_share_and_a_smaller_share_is_part_of_a_larger():
    ids = pa.array([f"i{n}" for n in range(20_000)])
    log = pa.table([pa.array(["q"] * 20_000), ids, pa.nulls(20_000, pa.string()), pa.nulls(20_000, pa.timestamp("us")),
                    pa.array(range(20_000))], schema=LINES)  # fmt: skip

    def kept(share):
        merged = merge_lines(
            group_lines(one_by_one(log)),
            split=Split(train_fraction=share),
            bounds=None,
            drop_duplicates=True,
            queries_are_items=False,
        )
        return {p["item_id"] for p in merged.rows.to_pylist() if p["split"] == 0 and not p["thinned"]}

    whole, half, tenth = kept(1.0), kept(0.5), kept(0.1)
    assert tenth < half < whole
    assert abs(len(half) / len(whole) - 0.5) < 0.02
    assert abs(len(tenth) / len(whole) - 0.1) < 0.02
