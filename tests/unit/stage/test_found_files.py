"""What a path of the spec takes: no names that writers hide, and no directory."""

from pathlib import Path

import pytest

from features.spec.sources import Source
from pipelines.aggregation.input_files import find_files
from stage.errors import StageError


def found(pattern: str, raw: Path | str) -> list[str]:
    files = find_files(pattern, str(raw), source=Source(path="x"), key="sources.items.path", first_number=0, cure=None)
    return [file.name for file in files]


def test_a_table_as_spark_writes_it(tmp_path: Path) -> None:
    for name in ("plays.parquet/part-0.snappy.parquet", "days/day=1/a.jsonl.gz", "odd/part-0"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("x")
    for name in (".part-0.crc", "_SUCCESS"):
        (tmp_path / "plays.parquet" / name).write_text("x")
    (tmp_path / "nothing").mkdir()
    assert found("plays.parquet/*", tmp_path) == ["plays.parquet/part-0.snappy.parquet"]
    assert found("days/**.jsonl.gz", f"{tmp_path}//") == ["days/day=1/a.jsonl.gz"]
    assert found("days/**.jsonl.gz", tmp_path) == ["days/day=1/a.jsonl.gz"]
    for path, meant in (
        ("plays.parquet", "plays.parquet/*.parquet"),
        ("plays.parquet/", "plays.parquet/*.parquet"),
        ("days", "days/**.jsonl.gz"),
        ("odd", "odd/*"),
        ("nothing", "nothing/*"),
    ):
        with pytest.raises(StageError) as caught:
            found(path, tmp_path)
        assert str(caught.value) == (
            f"sources.items.path: {tmp_path}/{path}: expected a file or a glob, found a directory; write {meant}"
        )
    for pattern, end in (
        ("days/*", r" or _\); there are some further down: write /\*\* in place of /\*"),
        ("odd/*.gz", r" or _\)"),
        ("nothing/*", r" or _\)"),
    ):
        with pytest.raises(StageError, match=f"found none .*{end}$"):
            found(pattern, tmp_path)


def test_of_a_bucket_too(tmp_path: Path, bucket: str) -> None:
    (tmp_path / "bucket/plays").mkdir(parents=True)
    for name in ("plays/part-0.parquet", "one.parquet"):
        (tmp_path / "bucket" / name).write_bytes(b"x")
    with pytest.raises(StageError, match=r"gs://bucket/plays: .* found a directory; write gs://bucket/plays/\*\.parq"):
        found(f"{bucket}/plays", "none")
    with pytest.raises(StageError, match=r"^sources.items.path: expected files that match gs://bucket/no, found none"):
        found(f"{bucket}/no", "none")
    assert found(f"{bucket}/one.parquet", "none") == ["gs://bucket/one.parquet"]
