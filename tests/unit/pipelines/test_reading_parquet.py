"""Files of Parquet: rows and places, types, and what is said of those that can't be read."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from formats import COLUMNS, Read, parquet

from features.places import locate
from features.spec.sources import Source
from pipelines.aggregation import batches
from pipelines.aggregation.input_files import find_files, ranges_of
from pipelines.aggregation.reading import read_batches


def unchecked(texts: list[bytes | None]) -> pa.Array:
    """Bytes as texts, as a writer that doesn't look at them makes them."""
    return pa.Array.from_buffers(pa.string(), len(texts), pa.array(texts, pa.binary()).buffers())


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
@pytest.mark.parametrize("rows_per_batch", [2, 9])
def test_texts_of_parquet_that_are_no_utf8_are_rejected_by_their_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: pa.DataType, rows_per_batch: int
) -> None:
    monkeypatch.setattr(batches, "ROWS_PER_BATCH", rows_per_batch)
    id_ = unchecked([b"a", b"\xff", "\u00e9".encode(), None, b"e", b"f\xc3\x28"])
    words = unchecked([b"x", b"y", b"z", b"\xed\xa0\x80", b"w"])
    tags = pa.ListArray.from_arrays(pa.array([0, 1, 2, None, 2, 5, 5], pa.int32()), words)
    table = pa.table({"id": id_.dictionary_encode() if pa.types.is_dictionary(kind) else id_.cast(kind), "tags": tags})
    pq.write_table(table, tmp_path / "log.parquet")
    files = find_files(
        "log.parquet", str(tmp_path), source=Source(path="log.parquet"), key="k", first_number=3, cure=None
    )
    found = list(read_batches(ranges_of(files)[0], COLUMNS))
    assert [(row["id"], row["tags"]) for batch in found for row in batch.rows.to_pylist()] == [
        ("a", ["x"]),
        ("\u00e9", []),
        (None, None),
    ]
    assert [locate(n) for batch in found for n in batch.places.tolist()] == [(3, 0), (3, 2), (3, 3)]
    bad = [(locate(batch.first_place + one.offset), one.reason, one.content) for batch in found for one in batch.bad]
    assert bad == [
        ((3, 1), "invalid_utf8", '{"id": "\ufffd", "at": null, "tags": ["y"]}'.encode()),
        ((3, 4), "invalid_utf8", '{"id": "e", "at": null, "tags": ["z", "\ufffd\ufffd\ufffd", "w"]}'.encode()),
        ((3, 5), "invalid_utf8", '{"id": "f\ufffd(", "at": null, "tags": []}'.encode()),
    ]
    assert sum(batch.lines for batch in found) == 6


def test_times_of_parquet_are_times_and_missing_ones_missing(read: Read) -> None:
    noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
    content = parquet({"id": ["a", "b"], "at": pa.array([noon, None], pa.timestamp("ms", "UTC"))})
    rows, _, bad = read("log.parquet", content)
    assert ([row["at"] for row in rows], bad) == ([noon, None], [])


@pytest.mark.parametrize(
    "kind", [pa.string_view(), pa.binary(), pa.large_binary(), pa.dictionary(pa.int32(), pa.string())]
)
def test_texts_of_parquet_in_other_types(read: Read, kind: pa.DataType) -> None:
    words = pa.array(["a", None, "b"]).cast(kind)
    tags = pa.ListArray.from_arrays([0, 2, 2, 3], words)
    rows, _, bad = read("log.parquet", parquet({"id": words, "tags": tags}))
    assert [(row["id"], row["tags"]) for row in rows] == [("a", ["a", None]), (None, []), ("b", ["b"])]
    assert bad == []


@pytest.mark.parametrize("row_group_size", [2, 9])
def test_lists_of_dictionaries_are_read_across_row_groups(read: Read, row_group_size: int) -> None:
    words = pa.array(["x", "y", "x", "z", "w"]).dictionary_encode()
    tags = pa.ListArray.from_arrays(pa.array([0, 2, 2, 3, 4, 5], pa.int32()), words)
    content = parquet({"id": [*"abcde"], "tags": tags}, row_group_size=row_group_size)
    rows, places, bad = read("log.parquet", content)
    assert [(row["id"], row["tags"]) for row in rows] == [
        ("a", ["x", "y"]),
        ("b", []),
        ("c", ["x"]),
        ("d", ["z"]),
        ("e", ["w"]),
    ]
    assert (places, bad) == ([0, 1, 2, 3, 4], [])


def test_bytes_of_parquet_that_are_no_text_are_rejected_by_their_row(read: Read) -> None:
    rows, places, bad = read("log.parquet", parquet({"id": [b"a", b"\xff", b"c"]}))
    assert ([row["id"] for row in rows], places, bad) == (["a", "c"], [0, 2], [(1, "invalid_utf8")])


def test_lists_of_parquet_that_are_all_of_one_length(read: Read) -> None:
    tags = pa.array([["x", "y"], ["z", None]], pa.list_(pa.string(), 2))
    rows, _, bad = read("log.parquet", parquet({"id": ["a", "b"], "tags": tags}))
    assert ([row["tags"] for row in rows], bad) == ([["x", "y"], ["z", None]], [])


def test_lists_of_integers_of_parquet_are_lists_of_texts(read: Read) -> None:
    tags = pa.array([[7, None, -(2**63)], []], pa.list_(pa.int64()))
    rows, _, bad = read("log.parquet", parquet({"id": ["a", "b"], "tags": tags}))
    assert ([row["tags"] for row in rows], bad) == ([["7", None, "-9223372036854775808"], []], [])


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (pa.array([Decimal("1.5"), None], pa.decimal128(10, 2)), [1.5, None]),
        (pa.array([Decimal("-2"), None], pa.decimal256(50, 2)), [-2.0, None]),
        (pa.array([2**53 + 1, None], pa.int64()), [2**53 + 1, None]),
        (pa.array([2**63, None], pa.uint64()), [2.0**63, None]),
        (pa.array([7, None], pa.uint64()), [7, None]),
    ],
)
def test_numbers_of_parquet_in_other_types(read: Read, numbers: pa.Array, expected: list[float | None]) -> None:
    rows, _, bad = read("log.parquet", parquet({"id": ["a", "b"], "at": numbers}))
    assert ([row["at"] for row in rows], bad) == (expected, [])


def test_a_column_of_parquet_that_is_there_twice(read: Read, refused: Callable[..., str]) -> None:
    def content(*names: str) -> bytes:
        return parquet(pa.table([["a"], ["b"], ["c"]], names=names))

    expected = "TMP/log.parquet: expected one column id, found id, other, id"
    assert refused("log.parquet", content("id", "other", "id")) == expected
    assert read("log.parquet", content("other", "id", "other"))[0] == [{"id": "b", "at": None, "tags": None}]


@pytest.mark.parametrize("tags", [[{"name": "a"}], [["a"]], [1.0, None], [True], [Decimal("1.5")]])
def test_parquet_whose_lists_hold_no_texts(refused: Callable[..., str], tags: list[object]) -> None:
    said = refused("log.parquet", parquet({"id": ["a"], "tags": [tags]}))
    assert said.startswith("TMP/log.parquet: column tags: expected lists of texts or integers, found list<")
    assert "\n" not in said
