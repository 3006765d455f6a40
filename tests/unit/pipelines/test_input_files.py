"""Which files of a source are taken, and which are refused, by their names and sizes."""

from pathlib import Path

import pytest

from features.spec.sources import Source
from pipelines.aggregation.input_files import find_files
from stage.errors import StageError


def names(directory: Path, sizes: dict[str, int], source: Source) -> list[str]:
    (directory / "log").mkdir(exist_ok=True)
    for name, size in sizes.items():
        (directory / "log" / name).write_bytes(b"x" * size)
    found = find_files("log/**", str(directory), source=source, key="sources.items.path", first_number=0, cure=None)
    return [file.name for file in found]


AUTO = Source(path="log/**")


@pytest.mark.parametrize(
    ("name", "source", "kind"),
    [
        ("part-1.parquet", AUTO, "Parquet"),
        ("part-1.avro", AUTO, "Avro"),
        ("part-1.jsonl.gz", AUTO, "compressed"),
        ("part-1.csv.zst", AUTO, "compressed"),
        ("part-1.bz2", Source(path="log/**", format="jsonl"), "compressed"),
        ("part-1", Source(path="log/**", format="parquet"), "Parquet"),
    ],
)
def test_an_empty_file_that_cannot_be_whole_is_refused(tmp_path: Path, name: str, source: Source, kind: str) -> None:
    with pytest.raises(StageError) as caught:
        names(tmp_path, {"part-0.jsonl": 7, name: 0}, source)
    assert str(caught.value) == (
        f"sources.items.path: {tmp_path}/log/{name}: expected a whole {kind} file, found 0 bytes; write it anew, or "
        "remove it"
    )


@pytest.mark.parametrize("name", ["part-1.jsonl", "part-1.tsv", "DONE", "_part-1.parquet"])
def test_lines_may_be_none_and_what_is_no_data_is_left_out(tmp_path: Path, name: str) -> None:
    assert names(tmp_path, {"part-0.jsonl": 7, name: 0}, AUTO) == ["log/part-0.jsonl"]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("log/rating.csv", "found none (or only names that begin with . or _); did you mean 'ratings.csv'?"),
        ("log/item.csv", "found none (or only names that begin with . or _)"),
        ("log/ratin?.csv", "found none (or only names that begin with . or _)"),
        ("log/ratings.tsv", "found only empty ones, such as DIR/log/ratings.tsv"),
    ],
)
def test_where_there_is_nothing_to_read_an_empty_file_or_the_nearest_name_is_told(
    tmp_path: Path, pattern: str, said: str
) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log/ratings.csv").write_bytes(b"x")
    for empty in ("item.tsv", "ratings.tsv"):
        (tmp_path / "log" / empty).touch()
    with pytest.raises(StageError) as caught:
        find_files(pattern, str(tmp_path), source=AUTO, key="sources.items.path", first_number=0, cure=None)
    assert str(caught.value).replace(str(tmp_path), "DIR") == (
        f"sources.items.path: expected files that match DIR/{pattern}, {said}"
    )


def test_a_link_that_nobody_asked_for_does_not_hide_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_bytes(b"x")
    (tmp_path / "old.csv").symlink_to("gone.csv")
    message = f"^k: expected files that match {tmp_path}/rating.csv, found none "
    with pytest.raises(StageError, match=message):
        find_files("rating.csv", str(tmp_path), source=AUTO, key="k", first_number=0, cure=None)


def test_a_directory_that_a_glob_for_files_matches_is_refused(tmp_path):
    def find(pattern):
        found = find_files(pattern, str(tmp_path), source=AUTO, key="k", first_number=0, cure=None)
        return [file.name for file in found]

    (tmp_path / "plays-1.parquet").write_bytes(b"rows")
    (tmp_path / "plays-2.parquet").mkdir()
    (tmp_path / "plays-2.parquet" / "_SUCCESS").write_bytes(b"x")
    assert find("plays-*.parquet") == ["plays-1.parquet"]  # nothing in it is lost
    (tmp_path / "plays-2.parquet" / "part-0.parquet").write_bytes(b"rows")
    inside = f"{tmp_path}/plays-2.parquet/part-0.parquet"
    with pytest.raises(StageError) as refused:
        find("plays-*.parquet")
    assert str(refused.value) == (
        f"k: {tmp_path}/plays-*.parquet matches a directory too, that of {inside}, whose files would be left out; "
        "write plays-*.parquet/* where all are directories, or another glob or name for either"
    )
    assert find("plays-*.parquet/*") == ["plays-2.parquet/part-0.parquet"]
    assert find("*") == ["plays-1.parquet"]


@pytest.mark.parametrize("pattern", ["plays/**.parquet", "plays/**/*.parquet"])
def test_a_glob_that_takes_a_directory_s_files_takes_the_directory(tmp_path, pattern):
    table = tmp_path / "plays" / "a" / "2026-01-01.parquet"
    table.mkdir(parents=True)
    for name in ("_SUCCESS", "part-0.parquet", "part-1.parquet"):
        (table / name).write_bytes(b"rows")
    found = find_files(pattern, str(tmp_path), source=AUTO, key="k", first_number=0, cure=None)
    assert [file.name for file in found] == [
        "plays/a/2026-01-01.parquet/part-0.parquet",
        "plays/a/2026-01-01.parquet/part-1.parquet",
    ]
    (table / "part-2").write_bytes(b"rows")
    with pytest.raises(StageError, match=rf"matches a directory too, that of {table}/part-2, whose files would be"):
        find_files(pattern, str(tmp_path), source=AUTO, key="k", first_number=0, cure=None)
