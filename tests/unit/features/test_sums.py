"""Counts of parts, added up."""

import pyarrow as pa

from features.sums import sum_counts


def test_counts_of_parts_add_up() -> None:
    counted = pa.table({"id": ["a", "b", "a"], "train_count": [1, 0, 2], "examples": [1, 1, 3]})
    assert sorted(sum_counts(counted, "id").to_pylist(), key=lambda row: row["id"]) == [
        {"id": "a", "train_count": 3, "examples": 4},
        {"id": "b", "train_count": 0, "examples": 1},
    ]
    assert sum_counts(counted.slice(0, 0), "id").num_rows == 0
