"""A glob matches the same files for every engine."""

from pathlib import Path

import pytest

from pipelines.aggregation.input_files import Match
from pipelines.beam.sources import match_files
from stage import globs, storage
from stage.errors import StageError


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("a-*.gz", ["a-1.gz", "a-2.gz"]),
        ("a-?.*", ["a-1.gz", "a-2.gz", "a-2.txt"]),
        ("a-[2-3].gz", ["a-2.gz"]),
        ("a*", ["a-1.gz", "a-2.gz", "a-2.txt"]),
        ("a**.gz", ["a-1.gz", "a-2.gz"]),
        ("**1.gz", ["^-1.gz", "a-1.gz", "date=1/a-1.gz", "date=2/x/a-1.gz"]),
        ("date=*/*.gz", ["date=1/a-1.gz"]),
        ("date=*/a-1.gz", ["date=1/a-1.gz"]),
        ("a-1.gz", ["a-1.gz"]),
        ("none/*", []),
        ("a-[!0-1].gz", ["a-2.gz"]),
        ("a-[!13-9].*", ["a-2.gz", "a-2.txt"]),
        ("[!]a]-1.gz", ["^-1.gz"]),
        ("[]a]-1.gz", ["a-1.gz"]),
        ("[^a]-1.gz", ["^-1.gz", "a-1.gz"]),
        ("a-*[x", []),
        ("b*[x.gz", ["b-[x.gz"]),
        ("b-[x.gz", ["b-[x.gz"]),
        ("date=[12]/*", ["date=1/a-1.gz"]),
        ("date=[12]/**", ["date=1/a-1.gz", "date=2/x/a-1.gz"]),
        ("date=1?a-1.gz", []),
        ("date=1[!b]a-1.gz", []),
    ],
)
def test_a_glob_matches_the_same_for_every_engine(tmp_path: Path, pattern: str, found: list[str]) -> None:
    for name in ("a-1.gz", "a-2.gz", "a-2.txt", "date=1/a-1.gz", "date=2/x/a-1.gz", "^-1.gz", "b-[x.gz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    full = f"{tmp_path}/{pattern}"
    assert globs.match(full) == [(f"{tmp_path}/{name}", 5) for name in found]
    assert sorted(match_files(full)) == [(f"{tmp_path}/{name}", 5) for name in found]


@pytest.mark.parametrize("match", [match_files, globs.match])
@pytest.mark.parametrize("pattern", ["raw/**.jsonl", "raw/*/a.jsonl", "raw/day=2/*"])
def test_a_glob_goes_through_links_to_directories(tmp_path: Path, match: Match, pattern: str) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.jsonl").write_bytes(b"12345")
    (tmp_path / "raw/day=2").symlink_to(tmp_path / "elsewhere")
    assert match(f"{tmp_path}/{pattern}") == [(f"{tmp_path}/raw/day=2/a.jsonl", 5)]


@pytest.mark.parametrize("match", [match_files, globs.match])
def test_a_link_that_leads_back_is_refused_where_files_would_come_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, match: Match
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw/day=1").mkdir(parents=True)
    (tmp_path / "raw/day=1/a.jsonl").write_bytes(b"12345")
    (tmp_path / "raw/again").symlink_to(tmp_path / "raw/day=1")
    (tmp_path / "raw/up").symlink_to("../raw")
    for start in ("", f"{tmp_path}/"):
        message = f"^{start}raw/up: expected a link to another place, but it leads back to a directory above it, .* "
        with pytest.raises(StageError, match=message):
            match(f"{start}raw/**.jsonl")
        assert match(f"{start}raw/*/a.jsonl") == [(f"{start}raw/{day}/a.jsonl", 5) for day in ("again", "day=1")]
        assert match(f"{start}raw/up/day=1/*") == [(f"{start}raw/up/day=1/a.jsonl", 5)]


def test_a_glob_relative_to_here_gives_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.jsonl").write_bytes(b"{}")
    assert globs.match("raw/*.jsonl") == [("raw/a.jsonl", 2)]
    assert globs.match("*/a.jsonl") == [("raw/a.jsonl", 2)]
    assert globs.match("raw/a.jsonl") == [("raw/a.jsonl", 2)]


def test_a_range_without_characters_matches_none_and_a_directory_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").write_bytes(b"1")
    assert globs.match(f"{tmp_path}/[z-a]") == []
    assert globs.match(f"{tmp_path}/a") == globs.match(f"{tmp_path}/c") == []
    assert globs.match(f"{tmp_path}/?") == [(f"{tmp_path}/b", 1)]


def test_a_glob_in_the_root_is_not_one_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log-of-mine.jsonl").write_bytes(b"{}")
    assert globs.match("/log-of-*.jsonl") == []
    assert globs.match("log-of-*.jsonl") == [("log-of-mine.jsonl", 2)]


def test_no_more_is_listed_than_a_glob_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw/day").mkdir(parents=True)
    (tmp_path / "raw/day/a.jsonl").write_bytes(b"{}")
    listed, sizes = [], storage.sizes

    def spy(directory: str, *, below: bool) -> dict[str, int]:
        listed.append((directory, below))
        return sizes(directory, below=below)

    monkeypatch.setattr(storage, "sizes", spy)
    for pattern in ("raw/day/a.jsonl", "raw/day/*.jsonl", "raw/*/a.jsonl", "raw/**.jsonl", "/nowhere*"):
        assert bool(globs.match(pattern)) == pattern.startswith("raw")
    assert listed == [("raw/day", False), ("raw", True), ("raw", True), ("/", False)]
