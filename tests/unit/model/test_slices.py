from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from model.network.corpus import Corpus
from model.ranking.slices import item_slices, read_item_slices


def chosen(flags: np.ndarray) -> list[int]:
    return np.flatnonzero(flags).tolist()


def test_head_is_the_tenth_most_frequent_of_the_items_seen() -> None:
    # 20 items seen, so a head of 2; five never seen, which count for nothing.
    counts = np.array([3] * 18 + [9, 7] + [0] * 5)
    found = item_slices(train_count=counts, full_train_count=counts)
    assert list(found) == ["overall", "head", "tail", "cold"]
    assert chosen(found["overall"]) == list(range(25))
    assert chosen(found["head"]) == [18, 19]
    assert chosen(found["tail"]) == [*range(18), *range(20, 25)]
    assert chosen(found["cold"]) == [20, 21, 22, 23, 24]


def test_of_equal_counts_the_first_by_id_is_in_the_head() -> None:
    counts = np.array([1, 4, 5, *[5] * 17])
    assert chosen(item_slices(train_count=counts, full_train_count=counts)["head"]) == [2, 3]


def test_nineteen_items_have_a_head_of_one_and_three_too() -> None:
    for items in (19, 3):
        counts = np.arange(1, items + 1)
        assert chosen(item_slices(train_count=counts, full_train_count=counts)["head"]) == [items - 1]


def test_head_goes_by_the_full_counts_and_cold_by_the_thinned() -> None:
    full, thinned = np.array([9, 1, 1]), np.array([0, 1, 0])
    found = item_slices(train_count=thinned, full_train_count=full)
    assert chosen(found["head"]) == [0]
    assert chosen(found["tail"]) == [1, 2]
    assert chosen(found["cold"]) == [0, 2]


def test_both_counts_of_a_dataset_are_read() -> None:
    rows = pa.table({"train_count": [0, 2], "full_train_count": [9, 2]})
    dataset: Any = SimpleNamespace(entity_rows=lambda *_, columns: rows.select(columns))
    found = read_item_slices(dataset, Corpus([b"a", b"b"], np.array([0, 2]), {}))
    assert {name: chosen(found[name]) for name in ("head", "cold")} == {"head": [0], "cold": [0]}


def test_nothing_seen_has_no_head() -> None:
    none = np.array([0, 0])
    found = item_slices(train_count=none, full_train_count=none)
    assert chosen(found["head"]) == []
    assert chosen(found["tail"]) == [0, 1]
