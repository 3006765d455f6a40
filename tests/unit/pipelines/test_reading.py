"""Files of each format: their rows and places, their compressions, and what is said of those that can't be read.

Avro and Parquet have tests of their own beside these.
"""

import bz2
import gzip
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from formats import COLUMNS, Read, Rows, ids

from features.spec.sources import Source
from pipelines.aggregation import blocks, input_files
from pipelines.aggregation.input_files import find_files, ranges_of
from pipelines.aggregation.reading import read_batches
from stage.errors import StageError

COMPRESS = {".gz": gzip.compress, ".zst": zstandard.compress, ".bz2": bz2.compress}


@pytest.mark.parametrize("chunk", [1, 7, blocks._CHUNK])
@pytest.mark.parametrize("ending", COMPRESS)
def test_members_one_after_another_are_one_file_and_a_cut_one_is_named(
    read: Read, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, ending: str, chunk: int
) -> None:
    monkeypatch.setattr(blocks, "_CHUNK", chunk)
    draw = random.Random(ending)
    ids = [f"{draw.getrandbits(256):x}" for _ in range(60)]
    lines = [b'{"id":"%s"}\n' % id_.encode() for id_ in ids]
    content = b"".join(lines)
    compress = COMPRESS[ending]
    members = compress(b"") + compress(content[:700]) + compress(b"") + compress(content[700:]) + compress(b"")
    rows, places, bad = read(f"log.jsonl{ending}", members)
    assert ([row["id"] for row in rows], bad) == (ids, [])
    assert places == [sum(map(len, lines[:n])) for n in range(60)]

    whole = compress(content)
    for size in (1, 9, len(whole) // 2, len(whole) - 1):
        said = refused(f"cut.jsonl{ending}", compress(b'{"id":"a"}\n') + whole[:size])
        assert said.startswith(f"TMP/cut.jsonl{ending}: cannot be read to its end: ")
        assert "\n" not in said
    assert "cannot be read" in refused(f"more.jsonl{ending}", whole + b"behind it")
    assert "cannot be read" in refused(f"plain.jsonl{ending}", content)


def test_a_gzip_that_is_damaged_is_named_wherever_the_damage_is(refused: Callable[..., str]) -> None:
    draw = random.Random(1)
    whole = gzip.compress(b"".join(b'{"id":"%x"}\n' % draw.getrandbits(256) for _ in range(2_000)))
    for at in range(10, len(whole), len(whole) // 20):
        said = refused("log.jsonl.gz", whole[:at] + bytes(byte ^ 0xFF for byte in whole[at : at + 8]) + whole[at + 8 :])
        assert said.startswith("TMP/log.jsonl.gz: cannot be read to its end: ")


@pytest.mark.parametrize("name", ["log.jsonl", "log.csv", "log.parquet", "log.avro"])
def test_a_file_that_has_gone_is_named_without_more(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"{}")
    files = find_files(name, str(tmp_path), source=Source(path=name), key="k", first_number=0, cure=None)
    (tmp_path / name).unlink()
    with pytest.raises(StageError) as caught:
        list(read_batches(next(iter(ranges_of(files))), COLUMNS))
    assert str(caught.value) == f"{tmp_path}/{name}: cannot be read: No such file or directory"


# -------------------------------------------------------------------------------------------------------------- CSV


JSON_OF_35_BYTES = b'{"id":1}\n{"id":2}\n{"id":3}\n{"id":4}'


@pytest.mark.parametrize("left", [0, 6, 9, 15, 24, 31, 34])
@pytest.mark.parametrize(
    ("name", "keys"), [("log.jsonl", {}), ("log.csv", {}), ("log.csv", {"quoted_newlines": False})]
)
def test_a_plain_file_that_has_become_shorter_is_named(
    name: str, keys: dict[str, Any], left: int, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_files, "RANGE_BYTES", 10)
    content = JSON_OF_35_BYTES if name == "log.jsonl" else b"id,at\n1111111,\n2222222,\n33333333333"
    assert refused(name, content, left=left, **keys) == (
        f"TMP/{name}: cannot be read to its end: expected 35 bytes, as it had when the job began, but it has become "
        "shorter"
    )


def test_csv_is_read_by_its_header_and_places_are_bytes(read: Read) -> None:
    content = b'\xef\xbb\xbfother,"at",id,tags\r\n\r\n1,2.5,a,x;y\r\n"two\nlines",,b,\r\nfew\r\n,,c,'
    expected: Rows = [
        {"id": "a", "at": 2.5, "tags": ["x", "y"]},
        {"id": "b", "at": None, "tags": None},
        {"id": "c", "at": None, "tags": None},
    ]
    assert read("log.csv", content, list_separator=";") == (expected, [25, 38, 60], [(55, "field_count")])
    assert read("log.csv.zst", zstandard.compress(content), list_separator=";")[1] == [25, 38, 60]


def test_csv_without_a_header_and_with_another_delimiter(read: Read) -> None:
    assert ids(read("a.csv", b"1|x\n2|y\n", delimiter="|", column_names=["at", "id"])[0]) == ["x", "y"]
    assert ids(read("a.tsv", b"id\tat\nx,y\t1\n")[0]) == ["x,y"]
    assert ids(read("log", b"id;at\nx\ty;1\n", format="csv", delimiter=";")[0]) == ["x\ty"]


def test_a_mark_of_byte_order_is_no_part_of_the_first_field(read: Read) -> None:
    mark = b"\xef\xbb\xbf"
    assert ids(read("a.csv", mark + b"x,1\ny,2\n", column_names=["id", "at"])[0]) == ["x", "y"]
    content = mark + b'"x,1",1\n' + mark + b"y,2\n"
    assert ids(read("a.csv", content, column_names=["id", "at"])[0]) == ["x,1", "\ufeffy"]


@pytest.mark.parametrize("ranges", [2, 40, 1 << 20])
def test_json_lines_may_begin_with_a_mark_of_byte_order(
    read: Read, monkeypatch: pytest.MonkeyPatch, ranges: int
) -> None:
    monkeypatch.setattr(input_files, "RANGE_BYTES", ranges)
    mark = b"\xef\xbb\xbf"
    rows, places, bad = read("a.jsonl", mark + b'{"id":"x"}\r\n' + mark + b'{"id":"y"}\r\n{"id":"z"}')
    assert (ids(rows), places, bad) == (["x", "z"], [3, 30], [(15, "not_json")])
    assert read("b.jsonl", mark) == ([], [], [])


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_header_alone_is_an_empty_file(read: Read, end: bytes) -> None:
    assert read("log.csv", b"id,at" + end) == ([], [], [])


@pytest.mark.parametrize(("quoted_newlines", "block"), [(True, 7), (True, 1 << 20), (False, 7), (False, 1 << 20)])
def test_csv_is_read_in_ranges_only_where_no_newline_is_quoted(
    read: Read, monkeypatch: pytest.MonkeyPatch, quoted_newlines: bool, block: int
) -> None:
    users = [b"user,%s%d" % (b"\n" if quoted_newlines else b" ", n) for n in range(50)]
    lines = [b'"id",at\n', *(b'%s"%s",%d\n' % (b"\n" * (n % 3 == 0), user, n) for n, user in enumerate(users))]
    content = b"".join(lines)
    monkeypatch.setattr(input_files, "RANGE_BYTES", 40)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block)
    rows, places, bad = read("log.csv", content, quoted_newlines=quoted_newlines)
    assert (ids(rows), bad) == ([user.decode() for user in users], [])
    assert places == [content.index(b'"%s"' % user) for user in users]


def test_ranges_of_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_files, "RANGE_BYTES", 40)
    for name in ("a.csv", "b.csv.bz2"):
        (tmp_path / name).write_bytes(b"x" * 100)

    def parts(**keys: Any) -> list[tuple[str, int, int | None]]:
        source = Source(path="*", **keys)
        files = find_files("*", str(tmp_path), source=source, key="k", first_number=0, cure=None)
        return [(part.file.name, part.start, part.end) for part in ranges_of(files)]

    assert parts() == [("a.csv", 0, None), ("b.csv.bz2", 0, None)]
    assert parts(quoted_newlines=False) == [
        ("a.csv", 0, 40), ("a.csv", 40, 80), ("a.csv", 80, 100), ("b.csv.bz2", 0, None)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"user,at\n1,2\n", "TMP/log.csv: expected a column id (sources.items.id), found user, at"),
        (b"\nid,at\n1,2\n", "TMP/log.csv: expected a column id (sources.items.id), found none"),
        (b"id,at,id\n1,2,3\n", "TMP/log.csv: expected one column id, found id, at, id"),
        (b"id;at\n1;2\n", "TMP/log.csv: expected a column id (sources.items.id), found id;at"),
        (
            b'"id,at\n1,2\n',
            "TMP/log.csv: expected a header, the names of the columns on one line: unexpected end of data",
        ),
        (
            "id,at\n1,2\n".encode("utf-16"),
            "TMP/log.csv: expected a header, the names of the columns on one line: 'utf-8' codec can't decode byte "
            "0xff in position 0: invalid start byte",
        ),
    ],
)
def test_a_header_that_can_t_be_used(refused: Callable[..., str], content: bytes, expected: str) -> None:
    assert refused("log.csv", content) == expected


# ---------------------------------------------------------------------------------------------------------- endings


@pytest.mark.parametrize("ending", [".jsonl", ".ndjson", ".json"])
def test_endings_of_json_lines(read: Read, ending: str) -> None:
    lines = b'{"id":"x"}\n{"id":"y"}\n'
    assert ids(read(f"log{ending}", lines)[0]) == ["x", "y"]
    assert ids(read(f"log{ending}.gz", gzip.compress(lines))[0]) == ["x", "y"]


def test_an_ending_that_says_nothing(refused: Callable[..., str]) -> None:
    assert refused("log.txt.gz", b"x") == (
        "k: TMP/log.txt.gz: expected .jsonl, .ndjson, .json, .csv, .tsv, .parquet, .avro, perhaps with .gz, .zst, .bz2 "
        "behind; or set its format"
    )
    assert refused("log.parquet.gz", b"x") == (
        "k: TMP/log.parquet.gz: Parquet is read from its end, so it can't be compressed as a whole"
    )
