"""What a path of the spec takes: no names that writers hide, and no directory."""

from pathlib import Path

import pytest

from features.spec_sources import Source
from pipelines.aggregation.input_files import Match, find_files
from pipelines.beam.sources import match_files
from stage import globs
from stage.errors import StageError
from stage.hidden_files import is_hidden


@pytest.mark.parametrize(
    ("pattern", "path", "hidden"),
    [
        ("/raw/*", "/raw/a.jsonl", False),
        ("/raw/*", "/raw/.part-0.crc", True),
        ("/raw/*", "/raw/_SUCCESS", True),
        ("/raw/**", "/raw/_temporary/0/a.jsonl", True),
        ("/raw/*/a.jsonl", "/raw/_temporary/a.jsonl", True),
        ("/raw/**", "/raw/day=1/.a.crc", True),
        ("/_raw/.here/*", "/_raw/.here/a.jsonl", False),
        ("/_raw/.here/*", "/_raw/.here/_SUCCESS", True),
        ("gs://_bucket/_raw/a_*", "gs://_bucket/_raw/a_b", False),
        ("/raw/_old-*", "/raw/_old-1", False),
        ("/raw/_old-*", "/raw/_old-.1", False),
        ("/raw/*/.a", "/raw/_b/.a", True),
        ("/raw/_SUCCESS", "/raw/_SUCCESS", False),
    ],
)
def test_hidden_names_are_left_out_unless_they_are_asked_for(pattern: str, path: str, hidden: bool) -> None:
    assert is_hidden(path, pattern) == hidden


def found(pattern: str, raw: Path | str, match: Match) -> list[str]:
    files = find_files(
        pattern, str(raw), source=Source(path="x"), key="sources.items.path", first_number=0, match=match
    )
    return [file.name for file in files]


@pytest.mark.parametrize("match", [match_files, globs.match])
def test_a_table_as_spark_writes_it(tmp_path: Path, match: Match) -> None:
    for name in ("plays.parquet/part-0.snappy.parquet", "days/day=1/a.jsonl.gz", "odd/part-0"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("x")
    for name in (".part-0.crc", "_SUCCESS"):
        (tmp_path / "plays.parquet" / name).write_text("x")
    (tmp_path / "nothing").mkdir()
    assert found("plays.parquet/*", tmp_path, match) == ["plays.parquet/part-0.snappy.parquet"]
    assert found("days/**.jsonl.gz", f"{tmp_path}//", match) == ["days/day=1/a.jsonl.gz"]
    assert found("days/**.jsonl.gz", tmp_path, match) == ["days/day=1/a.jsonl.gz"]
    for path, meant in (
        ("plays.parquet", "plays.parquet/*.parquet"),
        ("plays.parquet/", "plays.parquet/*.parquet"),
        ("days", "days/**.jsonl.gz"),
        ("odd", "odd/*"),
        ("nothing", "nothing/*"),
    ):
        with pytest.raises(StageError) as caught:
            found(path, tmp_path, match)
        assert str(caught.value) == (
            f"sources.items.path: {tmp_path}/{path}: expected a file or a glob, found a directory; write {meant}"
        )
    for pattern, end in (
        ("days/*", r" or _\); there are some further down: write days/\*\*"),
        ("odd/*.gz", r" or _\)"),
        ("nothing/*", r" or _\)"),
    ):
        with pytest.raises(StageError, match=f"found none .*{end}$"):
            found(pattern, tmp_path, match)


def test_of_a_bucket_too_where_no_object_stands_for_a_directory() -> None:
    objects = {"gs://b/plays/part-0.parquet": 9, "gs://b/one.parquet": 9}

    def match(pattern: str) -> list[tuple[str, int]]:
        start = pattern.removesuffix("**")
        return [(n, s) for n, s in objects.items() if n == pattern or (start != pattern and n.startswith(start))]

    source = Source(path="x")
    with pytest.raises(StageError, match=r"^k: gs://b/plays: .* found a directory; write gs://b/plays/\*\.parquet$"):
        find_files("gs://b/plays", None, source=source, key="k", first_number=0, match=match)
    with pytest.raises(StageError, match=r"^k: expected files that match gs://b/no, found none"):
        find_files("gs://b/no", None, source=source, key="k", first_number=0, match=match)
    [file] = find_files("gs://b/one.parquet", None, source=source, key="k", first_number=0, match=match)
    assert file.path == "gs://b/one.parquet"
