"""Parquet as it is read and written, and what is said of what isn't."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stage.errors import StageError, StorageError
from stage.parquet import read_column, read_parquet, read_schema, write_parquet


def test_what_is_written_is_read_again_whole_or_by_column(tmp_path: Path) -> None:
    path, table = str(tmp_path / "new" / "x.parquet"), pa.table({"a": [1, 2], "b": [b"x", None], "c": [[1], []]})
    write_parquet(path, table)
    assert read_parquet(path) == table
    assert read_parquet(path, columns=["c", "a"]) == table.select(["c", "a"])
    assert read_schema(path) == table.schema
    assert pq.read_metadata(path).row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize(
    "kind",
    [
        pa.binary(),
        pa.large_binary(),
        pa.list_(pa.binary()),
        pa.large_list(pa.binary()),
        pa.list_(pa.large_binary()),
        pa.large_list(pa.large_binary()),
        pa.list_(pa.field("element", pa.binary(), nullable=False)),  # as Spark writes arrays without nulls
    ],
    ids=str,
)
def test_bytes_are_texts_where_that_is_asked_for(tmp_path: Path, kind: pa.DataType) -> None:
    path = str(tmp_path / "x.parquet")
    found, text = ([b"x", b"y"], ["x", "y"]) if pa.types.is_nested(kind) else (b"x", "x")
    pq.write_table(pa.table({"a": pa.array([found, None], kind), "n": [[1], None]}), path)
    assert read_parquet(path).to_pydict() == {"a": [found, None], "n": [[1], None]}
    assert read_parquet(path, bytes_are_texts=True).to_pydict() == {"a": [text, None], "n": [[1], None]}
    assert read_column(path, "a").to_pylist() == [text, None]


@pytest.mark.parametrize(
    ("names", "got"), [(["b"], "b"), (["a", "b", "a"], "a, b, a"), ([], "none")], ids=["another", "twice", "none"]
)
def test_a_column_that_a_file_does_not_have_once_is_named(tmp_path: Path, names: list[str], got: str) -> None:
    path = str(tmp_path / "x.parquet")
    pq.write_table(pa.Table.from_arrays([pa.array([1])] * len(names), names=names), path)
    with pytest.raises(StageError) as caught:
        read_column(path, "a")
    assert str(caught.value) == f"{path}: expected a column a, got {got}"


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "x.parquet")
    for read in (read_parquet, read_schema, lambda path: read_column(path, "a")):
        Path(path).unlink(missing_ok=True)
        with pytest.raises(StorageError) as caught:
            read(path)
        assert str(caught.value) == f"{path}: cannot be read: No such file or directory"
        Path(path).write_bytes(b"id,title")
        with pytest.raises(StageError, match=f"^{path}: not readable as Parquet: .*magic bytes not found"):
            read(path)
    pq.write_table(pa.table({"a": [b"\xff"]}), path)
    assert read_parquet(path)["a"].to_pylist() == [b"\xff"]
    with pytest.raises(StageError, match=f"^{path}: not readable as Parquet: Invalid UTF8"):
        read_parquet(path, bytes_are_texts=True)
