import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.shards import shard_of, take_apart
from model.serving.exported_entities import ExportedEntities
from stage.errors import StageError
from stage.parquet import read_parquet

IDS = [f"user {i * 7919 % 1000} é" for i in range(1000)]
ROWS = pa.table({"id": IDS, "feature/words": [[one, "b"] for one in IDS], "feature/size": range(1000)})
SHARDS = take_apart(ROWS, shard_of(ROWS["id"].combine_chunks(), 4))


def write(directory: Path) -> list[str]:
    """Three of four shards; the last is empty, so it has no file."""
    names = []
    for shard, rows in SHARDS[:3]:
        names.append(f"queries-20260101T000000-ab12cd-{shard:05d}-of-00004.parquet")
        pq.write_table(rows, directory / names[-1], row_group_size=100)
    return names


def test_many_threads_read_each_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr("model.serving.exported_entities.read_parquet", lambda p: read.append(p) or read_parquet(p))
    names = write(tmp_path)
    entities = ExportedEntities(str(tmp_path), names)
    assert read == []
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda start: entities.find([*IDS[start:], "nobody", "\udcff"]), range(0, 1000, 100)))
    assert sorted(read) == [str(tmp_path / name) for name in names]
    there = {id_ for path in read for id_ in read_parquet(path)["id"].to_pylist()}
    assert 500 < len(there) < 1000
    wanted = {row["id"]: row for row in ROWS.to_pylist() if row["id"] in there}
    assert found[0] == wanted
    assert [len(one) for one in found] == [len(there & set(IDS[start:])) for start in range(0, 1000, 100)]
    assert {one for ids in entities.ids() for one in ids.to_pylist()} == there


def test_what_was_read_outlives_its_file(tmp_path: Path) -> None:
    directory = tmp_path / "entities"
    directory.mkdir()
    names = write(directory)
    one, other, *_ = (rows["id"][0].as_py() for _, rows in SHARDS)
    entities = ExportedEntities(str(directory), names)
    before = entities.find([one])
    shutil.rmtree(directory)
    assert entities.find([one]) == before != {}
    with pytest.raises(StageError, match="cannot be read: No such file or directory"):
        entities.find([other])
    assert entities.near(f"{one}.") == ""


def test_what_is_read_is_that_of_the_export_that_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    names = write(tmp_path / "old")
    (tmp_path / "current").symlink_to("old")
    monkeypatch.chdir(tmp_path)
    entities = ExportedEntities("current", names)
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to("new")
    monkeypatch.chdir("/")
    one = SHARDS[0][1]["id"][0].as_py()
    assert list(entities.find([one])) == [one]


def test_ids_come_from_what_was_read_first(tmp_path: Path) -> None:
    entities = ExportedEntities(str(tmp_path), write(tmp_path))
    assert entities.find([]) == {}
    of_second = SHARDS[1][1]["id"].to_pylist()
    entities.find(of_second[:1])
    assert sorted(next(entities.ids()).to_pylist()) == sorted(of_second)
