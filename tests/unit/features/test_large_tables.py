"""Texts beyond 2 GiB: many chunks that share one text."""

import numpy as np
import pyarrow as pa
import pytest

from features import large_tables
from features.large_tables import in_one_chunk, take_rows


def test_rows_come_in_the_order_asked_for_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_tables, "_ROWS_AT_ONCE", 2)
    parts = [{"id": ["a", "b"], "count": [1, 2]}, {"id": ["c"], "count": [3]}, {"id": ["d", None], "count": [4, None]}]
    schema = pa.schema([("id", pa.string()), ("count", pa.int64())])
    table = pa.concat_tables([pa.table(part, schema=schema) for part in parts])
    found = take_rows(table, np.array([3, 0, 4, 3, 2]))
    assert found == pa.table({"id": ["d", "a", None, "d", "c"], "count": [4, 1, None, 4, 3]}, schema=schema)
    assert take_rows(table, np.array([], np.int64)) == schema.empty_table()


def test_a_table_in_one_chunk_keeps_its_values() -> None:
    table = pa.concat_tables([pa.table({"id": ["a"], "n": [1]}), pa.table({"id": ["b"], "n": [2]})])
    found = in_one_chunk(table)
    assert [column.num_chunks for column in found.columns] == [1, 1]
    assert found.schema == pa.schema([("id", pa.large_string()), ("n", pa.int64())])
    assert found.to_pydict() == {"id": ["a", "b"], "n": [1, 2]}
