"""A glob matches the same files on local disk and gs://."""

import os
from pathlib import Path
from typing import Any

import pytest

from stage import globs
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
        ("date=*/x?a-1.gz", []),
        ("date=*/x[!b]a-1.gz", []),
    ],
)
def test_a_glob_matches_the_same_everywhere(tmp_path: Path, bucket: str, pattern: str, found: list[str]) -> None:
    local = tmp_path / "bucket"
    for name in ("a-1.gz", "a-2.gz", "a-2.txt", "date=1/a-1.gz", "date=2/x/a-1.gz", "^-1.gz", "b-[x.gz"):
        (local / name).parent.mkdir(parents=True, exist_ok=True)
        (local / name).write_bytes(b"12345")
    for start in (local, bucket):
        assert globs.match(f"{start}/{pattern}") == [(f"{start}/{name}", 5) for name in found]


def test_a_name_with_an_empty_part_is_told_before_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = []

    def sizes(directory: str, *, below: bool) -> dict[str, int]:
        listed.append((directory, below))
        return {"a.jsonl": 5, "odd//x.jsonl": 5}

    monkeypatch.setattr("stage.storage.sizes", sizes)
    assert globs.match("gs://bucket/raw/a*") == [("gs://bucket/raw/a.jsonl", 5)]
    with pytest.raises(StageError, match=r"^gs://bucket/raw/odd//x\.jsonl: expected a name without an empty part"):
        globs.match("gs://bucket/raw/**")
    # What lies further down may be millions of objects.
    assert listed == [("gs://bucket/raw", False), ("gs://bucket/raw", True)]


@pytest.mark.parametrize("pattern", ["raw/**.jsonl", "raw/*/a.jsonl", "raw/day=2/*"])
def test_a_glob_goes_through_links_to_directories(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.jsonl").write_bytes(b"12345")
    (tmp_path / "raw/day=2").symlink_to(tmp_path / "elsewhere")
    assert globs.match(f"{tmp_path}/{pattern}") == [(f"{tmp_path}/raw/day=2/a.jsonl", 5)]


def test_a_link_that_leads_back_is_refused_where_files_would_come_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw/day=1").mkdir(parents=True)
    (tmp_path / "raw/day=1/a.jsonl").write_bytes(b"12345")
    for name in ("up", "up2", "_self"):  # two of them would make a listing that follows them endless
        (tmp_path / "raw" / name).symlink_to("../raw")
    for start in ("", f"{tmp_path}/"):
        message = f"^{start}raw/up: expected a link to another place, but it leads back to a directory above it, .* "
        with pytest.raises(StageError, match=message):
            globs.match(f"{start}raw/**.jsonl")
        for pattern, found in {
            "day=*/a.jsonl": "day=1",
            "up/day=1/*": "up/day=1",
            "_self/day=?/*": "_self/day=1",
        }.items():
            assert globs.match(f"{start}raw/{pattern}") == [(f"{start}raw/{found}/a.jsonl", 5)]
    (tmp_path / "raw/day=1/top").symlink_to("../..")  # above where a glob's first star is
    with pytest.raises(StageError, match=r"^raw/day=1/top: expected a link to another place, "):
        globs.match("raw/day=1/*/*/a.jsonl")
    for name in ("up", "up2", "day=1/top"):
        (tmp_path / "raw" / name).unlink()
    assert globs.match("raw/**.jsonl") == [("raw/day=1/a.jsonl", 5)]
    (tmp_path / "raw/day").mkdir()
    (tmp_path / "raw/day=1/next").symlink_to("../day")  # whose name begins that of a directory above
    assert globs.match("raw/**.jsonl") == [("raw/day=1/a.jsonl", 5)]
    (tmp_path / "raw/day/last").symlink_to("../day=1")
    with pytest.raises(StageError, match=r"^raw/day=1/next/last: expected a link to another place, "):
        globs.match("raw/**.jsonl")
    (tmp_path / "raw/root").symlink_to("/")
    with pytest.raises(StageError, match=r"^raw/root: expected a link to another place, "):
        globs.match("raw/r*/a.jsonl")


def test_a_link_to_what_isn_t_there_is_refused_where_files_would_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw/day=1").mkdir(parents=True)
    (tmp_path / "raw/day=1/a.jsonl").write_bytes(b"12345")
    (tmp_path / "raw/day=2").symlink_to("/mnt/unmounted")
    (tmp_path / "raw/day=1/b.csv").symlink_to("gone.csv")
    (tmp_path / "raw/day=1/.#a.jsonl").symlink_to("user@host")  # an editor's lock
    (tmp_path / "c.jsonl").symlink_to("gone.jsonl")
    for pattern, said in {
        "raw/**.jsonl": "raw/day=2: expected .* that can be read, but /mnt/unmounted: No such file or directory; mount",
        "raw/**/a.jsonl": "raw/day=2: ",
        "raw/day=?/a.jsonl": "raw/day=2: ",
        "raw/day=1/*": f"raw/day=1/b.csv: expected .*, but {tmp_path}/raw/day=1/gone.csv: No such file or directory; ",
        "raw/day=*/*.csv": "raw/day=",
        "**.csv": "c.jsonl: ",  # for all that is known a directory
        "./raw/day=1/*": "./raw/day=1/b.csv: ",
        "*.jsonl": f"c.jsonl: expected .*, but {tmp_path}/gone.jsonl: No such file or directory; ",
        f"{tmp_path}/*.jsonl": f"{tmp_path}/c.jsonl: ",
    }.items():
        with pytest.raises(StageError, match=f"^{said}"):
            globs.match(pattern)
    for pattern in ("raw/day=1/*.jsonl", "raw/day=[13]/a.jsonl", "raw/da*1/a.jsonl"):
        assert globs.match(pattern) == [("raw/day=1/a.jsonl", 5)]


def test_what_may_not_be_read_is_refused_and_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.jsonl").symlink_to("/root/a.jsonl")
    stat = os.stat

    def refuse(path: Any, **more: Any) -> os.stat_result:
        if str(path).endswith("raw/a.jsonl"):
            raise PermissionError(13, "Permission denied", path)
        return stat(path, **more)

    monkeypatch.setattr("stage.globs.os.stat", refuse)
    with pytest.raises(StageError, match=r"/raw/a.jsonl: expected .*, but /root/a.jsonl: Permission denied; mount, "):
        globs.match(f"{tmp_path}/raw/*")


def test_a_name_that_is_no_text_is_refused_since_no_manifest_could_have_it(tmp_path: Path) -> None:
    os.close(os.open(os.fsencode(tmp_path) + b"/sch\xf6n.csv", os.O_CREAT))
    os.close(os.open(os.fsencode(tmp_path) + b"/_sch\xf6n.jsonl", os.O_CREAT))
    assert globs.match(f"{tmp_path}/*.jsonl") == []
    with pytest.raises(StageError, match=r"/sch\\xf6n.csv': expected a name in UTF-8; rename it$"):
        globs.match(f"{tmp_path}/*.csv")


def test_a_glob_relative_to_here_gives_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.jsonl").write_bytes(b"{}")
    assert globs.match("raw/*.jsonl") == [("raw/a.jsonl", 2)]
    assert globs.match("*/a.jsonl") == [("raw/a.jsonl", 2)]
    assert globs.match("raw/a.jsonl") == [("raw/a.jsonl", 2)]


def test_a_path_says_the_same_elsewhere_unless_a_directory_above_would_make_it_a_glob(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs[1]").mkdir()
    monkeypatch.chdir(tmp_path)
    assert globs.rooted("raw") == f"{tmp_path}/raw"
    monkeypatch.chdir("runs[1]")
    assert [globs.rooted(path) for path in ("raw", "raw/*")] == ["raw", f"{tmp_path}/runs[1]/raw/*"]


def test_a_range_without_characters_matches_none_and_a_directory_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").write_bytes(b"1")
    os.mkfifo(tmp_path / "p")
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
    for name in ("day", "lost+found", ".Trash-lost"):
        (tmp_path / "raw" / name).mkdir(parents=True)
    (tmp_path / "raw/day/a.jsonl").write_bytes(b"{}")
    (tmp_path / "raw/b.csv").touch()
    listed, scandir = [], os.scandir

    def spy(directory: str) -> Any:
        listed.append(directory)
        if "lost" in directory:
            raise PermissionError(13, "Permission denied", directory)
        return scandir(directory)

    monkeypatch.setattr("stage.globs.os.scandir", spy)
    for pattern in ("raw/day/a.jsonl", "raw/day/*.jsonl", "raw/d*/a.jsonl", "raw/d**.jsonl", "raw/*", "/nowhere*"):
        assert bool(globs.match(pattern)) == pattern.startswith("raw")
    assert listed == ["raw/day/", "raw/", "raw/day/", "raw/", "raw/day/", "raw/", "/"]
    for pattern in ("raw/*/a.jsonl", "raw/**.jsonl"):
        with pytest.raises(StageError, match=r"^raw/lost\+found: cannot be listed: Permission denied$"):
            globs.match(pattern)
    (tmp_path / "raw/lost+found").rmdir()
    assert globs.match("raw/**.jsonl") == [("raw/day/a.jsonl", 2)]
    with pytest.raises(StageError, match=r"^raw/.Trash-lost: cannot be listed: Permission denied$"):
        globs.match("raw/.*/*.jsonl")
    assert globs.match("nowhere/*") == []
    with pytest.raises(StageError, match=r"^raw/day/a.jsonl: cannot be listed: Not a directory$"):
        globs.match("raw/day/a.jsonl/*")


def test_a_directory_that_goes_while_it_is_looked_through_is_not_taken_for_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raw/day").mkdir(parents=True)
    scandir = os.scandir

    def remove_before(directory: str) -> Any:
        if directory.endswith("/day/"):
            (tmp_path / "raw/day").rmdir()
        return scandir(directory)

    monkeypatch.setattr("stage.globs.os.scandir", remove_before)
    with pytest.raises(StageError, match=r"/raw/day: cannot be listed: No such file or directory$"):
        globs.match(f"{tmp_path}/raw/*/a.jsonl")


def test_a_file_that_goes_while_others_are_looked_at_is_left_out(tmp_path: Path) -> None:
    for name in "cba":
        (tmp_path / name).write_bytes(b"1")
    found = globs._local_files(f"{tmp_path}/*", start=f"{tmp_path}/")
    assert next(found) == (f"{tmp_path}/a", 1)
    (tmp_path / "b").unlink()
    assert list(found) == [(f"{tmp_path}/c", 1)]


def test_a_name_of_two_lines_is_matched_too(tmp_path: Path) -> None:
    (tmp_path / "a\nb.gz").write_bytes(b"1")
    for pattern in ("*.gz", "**.gz", "a?b.gz", "a[!x]b.gz"):
        assert globs.match(f"{tmp_path}/{pattern}") == [(f"{tmp_path}/a\nb.gz", 1)]


def test_a_directory_is_no_glob_and_the_refusal_says_which_would_be(tmp_path: Path) -> None:
    for name in ("_SUCCESS", "b.parquet", "a.parquet"):
        (tmp_path / name).touch()
    wanted = f"^--queries: expected Parquet files that match {tmp_path}/, found none; for the files in that directory "
    with pytest.raises(StageError, match=rf"{wanted}write {tmp_path}/\*$"):
        globs.matching_files(f"{tmp_path}/", option="--queries")
    with pytest.raises(StageError, match=f"match {tmp_path}/none, found none$"):
        globs.matching_files(f"{tmp_path}/none", option="--queries")
    assert globs.matching_files(f"{tmp_path}/*", option="--queries") == [f"{tmp_path}/{name}.parquet" for name in "ab"]


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
    assert globs.is_hidden(path, pattern) == hidden
