"""Files of each format: their rows and places, their compressions, and what is said of those that can't be read."""

import bz2
import gzip
import io
import json
import random
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from fastavro._read_common import HEADER_SCHEMA
from fastavro.read import BLOCK_READERS

from features.places import Place, locate
from features.spec_sources import Source
from pipelines.aggregation import batches, blocks, input_files
from pipelines.aggregation.input_files import find_files, ranges_of
from pipelines.aggregation.reading import read_batches
from pipelines.beam.sources import match_files, open_file
from stage.errors import StageError

Rows = list[dict[str, Any]]
COLUMNS = pa.schema([("id", pa.string()), ("at", pa.float64()), ("tags", pa.list_(pa.string()))])
Read = Callable[..., tuple[Rows, list[int], list[tuple[int, str]]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """`read(name, content, **keys of the source)` -> rows, their places, (place, reason) of bad lines."""

    def run(name: str, content: bytes, **keys: Any) -> tuple[Rows, list[int], list[tuple[int, str]]]:
        (tmp_path / name).write_bytes(content)
        source = Source(path=name, **keys)
        files = find_files(name, str(tmp_path), source=source, key="k", first_number=0, match=match_files)
        found = [
            batch
            for part in ranges_of(files)
            for batch in read_batches(part, COLUMNS, required=["id"], time="at", open_file=open_file)
        ]
        rows = [row for batch in found for row in batch.rows.to_pylist()]
        places = [place for batch in found for place in batch.places.tolist()]
        return rows, places, [(batch.first_place + bad.offset, bad.reason) for batch in found for bad in batch.bad]

    return run


@pytest.fixture
def refused(read: Read, tmp_path: Path) -> Callable[..., str]:
    """What is said of a file, with the temporary directory as TMP."""

    def run(name: str, content: bytes, **keys: Any) -> str:
        with pytest.raises(StageError) as caught:
            read(name, content, **keys)
        return str(caught.value).replace(str(tmp_path), "TMP")

    return run


def ids(rows: Rows) -> list[str]:
    return [row["id"] for row in rows]


# ------------------------------------------------------------------------------------------------------ compression

COMPRESS = {".gz": gzip.compress, ".zst": zstandard.compress, ".bz2": bz2.compress}


@pytest.mark.parametrize("ending", COMPRESS)
def test_members_one_after_another_are_one_file_and_a_cut_one_is_named(
    read: Read, refused: Callable[..., str], ending: str
) -> None:
    draw = random.Random(1)
    lines = [b'{"id":"%x"}\n' % draw.getrandbits(256) for _ in range(60)]
    content = b"".join(lines)
    compress = COMPRESS[ending]
    members = compress(b"") + compress(content[:700]) + compress(b"") + compress(content[700:]) + compress(b"")
    rows, places, bad = read(f"log.jsonl{ending}", members)
    assert (len(rows), bad) == (60, [])
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


# -------------------------------------------------------------------------------------------------------------- CSV


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


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_header_alone_is_an_empty_file(read: Read, end: bytes) -> None:
    assert read("log.csv", b"id,at" + end) == ([], [], [])


@pytest.mark.parametrize(("quoted_newlines", "block"), [(True, 7), (True, 1 << 20), (False, 7), (False, 1 << 20)])
def test_csv_is_read_in_ranges_only_where_no_newline_is_quoted(
    read: Read, monkeypatch: pytest.MonkeyPatch, quoted_newlines: bool, block: int
) -> None:
    lines = [b'"id",at\n', *(b'%s"user, %d",%d\n' % (b"\n" * (n % 3 == 0), n, n) for n in range(50))]
    content = b"".join(lines)
    monkeypatch.setattr(input_files, "RANGE_BYTES", 40)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block)
    rows, places, bad = read("log.csv", content, quoted_newlines=quoted_newlines)
    assert (ids(rows), bad) == ([f"user, {n}" for n in range(50)], [])
    assert places == [content.index(b'"user, %d"' % n) for n in range(50)]


def test_ranges_of_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_files, "RANGE_BYTES", 40)
    for name in ("a.csv", "b.csv.bz2"):
        (tmp_path / name).write_bytes(b"x" * 100)

    def parts(**keys: Any) -> list[tuple[str, int, int | None]]:
        source = Source(path="*", **keys)
        files = find_files("*", str(tmp_path), source=source, key="k", first_number=0, match=match_files)
        return [(part.file.name, part.start, part.end) for part in ranges_of(files)]

    assert parts() == [("a.csv", 0, None), ("b.csv.bz2", 0, None)]
    assert parts(quoted_newlines=False) == [
        ("a.csv", 0, 40), ("a.csv", 40, 80), ("a.csv", 80, 100), ("b.csv.bz2", 0, None)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"user,at\n1,2\n", "TMP/log.csv: expected a column id, found user, at"),
        (b"\nid,at\n1,2\n", "TMP/log.csv: expected a column id, found "),
        (b"id,at,id\n1,2,3\n", "TMP/log.csv: expected one column id, found id, at, id"),
        (b"id;at\n1;2\n", "TMP/log.csv: expected a column id, found id;at"),
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


# ------------------------------------------------------------------------------------------------------------- Avro


def avro(rows: Rows, codec: str = "null", **types: Any) -> bytes:
    fields = [{"name": name, "type": kind} for name, kind in types.items()]
    sink = io.BytesIO()
    schema = {"type": "record", "name": "row", "fields": fields}
    fastavro.writer(sink, schema, rows, codec=codec, sync_interval=60)
    return sink.getvalue()


AT = {"type": "long", "logicalType": "timestamp-millis"}


def test_avro_is_read_by_rows(read: Read) -> None:
    at = datetime(2024, 1, 1, tzinfo=UTC)
    given = [{"id": 7, "at": at, "tags": []}, {"id": "a", "at": None, "tags": ["x"]}]
    types = {"id": ["long", "string", "boolean"], "at": ["null", AT], "tags": {"type": "array", "items": "string"}}
    expected: Rows = [{"id": "7", "at": at, "tags": []}, {"id": "a", "at": None, "tags": ["x"]}]
    assert read("log.avro", avro(given, **types)) == (expected, [0, 1], [])
    assert read("log.avro.gz", gzip.compress(avro(given, "deflate", **types))) == (expected, [0, 1], [])
    given[1] = {"id": True, "at": at, "tags": []}
    assert read("log.avro", avro(given, **types))[1:] == ([0], [(1, "wrong_type")])


def test_avro_takes_enums_and_names_declared_before(read: Read) -> None:
    kind = {"type": "enum", "name": "kind", "symbols": ["a", "b"]}
    content = avro([{"other": "a", "id": "b", "at": 1}], other=kind, id="kind", at="int")
    assert read("log.avro", content)[0] == [{"id": "b", "at": 1.0, "tags": None}]


def test_values_of_avro_that_are_none_are_rejected_by_their_row_and_cost_nothing_in_columns_that_nobody_reads(
    read: Read,
) -> None:
    micros = {"type": "long", "logicalType": "timestamp-micros"}
    written = {"id": "bytes", "at": ["null", "long"], "other": "bytes", "when": "long"}
    claimed = {"id": "string", "at": ["null", micros], "other": "string", "when": micros}
    good = {"id": b"a", "at": 5, "other": b"\xff", "when": 2**62}
    rows = [good, good | {"at": 2**62}, good | {"id": b"\xff"}, good | {"at": None}, good | {"id": b"e"}]
    assert read("log.avro", claiming(avro(rows, **written), **claimed)) == (
        [
            {"id": id, "at": at and datetime(1970, 1, 1, 0, 0, 0, at, UTC), "tags": None}
            for id, at in (("a", 5), ("a", None), ("e", 5))
        ],
        [0, 3, 4],
        [(1, "wrong_type"), (2, "invalid_utf8")],
    )


def claiming(content: bytes, **types: Any) -> bytes:
    """An Avro file that says its columns are of other types."""
    stream = io.BytesIO(content)
    header = fastavro.schemaless_reader(stream, HEADER_SCHEMA)
    fields = [{"name": name, "type": kind} for name, kind in types.items()]
    header["meta"]["avro.schema"] = json.dumps({"type": "record", "name": "row", "fields": fields}).encode()
    sink = io.BytesIO()
    fastavro.schemaless_writer(sink, HEADER_SCHEMA, header)
    return sink.getvalue() + stream.read()


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz"])
def test_avro_cut_anywhere_but_between_blocks_is_named(read: Read, refused: Callable[..., str], codec: str) -> None:
    content = avro([{"id": f"user {n}"} for n in range(40)], codec, id="string")
    marker = content[-16:]
    between = [at + 16 for at in range(len(content)) if content.startswith(marker, at)]
    assert len(between) > 5
    for size in range(1, len(content), 7):
        if size not in between:
            said = refused("cut.avro", content[:size])
            assert said.startswith("TMP/cut.avro: cannot be read to its end: ")
    assert ids(read("whole.avro", content)[0]) == [f"user {n}" for n in range(40)]


def test_avro_with_codecs_that_fastavro_knows_only_with_other_libraries(read: Read, tmp_path: Path) -> None:
    content = avro([{"id": "user"}] * 9, id="string")
    body = content.index(content[-16:]) + 16
    header = content[:body]
    assert b"\x14avro.codec\x08null" in header

    def repack(name: bytes, compress: Callable[[bytes], bytes]) -> bytes:
        """The blocks compressed anew; each is short enough for lengths of one byte or two."""
        stream, out = io.BytesIO(content[body:]), []
        while count := stream.read(1):
            block = compress(stream.read(stream.read(1)[0] // 2))
            assert 2 * len(block) < 128
            out.append(count + bytes([2 * len(block)]) + block + stream.read(16))
        codec = bytes([2 * len(name)]) + name
        return header.replace(b"\x14avro.codec\x08null", b"\x14avro.codec" + codec) + b"".join(out)

    def snappy(block: bytes) -> bytes:
        return pa.compress(block, "snappy", asbytes=True) + zlib.crc32(block).to_bytes(4, "big")

    assert ids(read("a.avro", repack(b"snappy", snappy))[0]) == ["user"] * 9
    assert ids(read("b.avro", repack(b"zstandard", zstandard.compress))[0]) == ["user"] * 9
    with pytest.raises(StageError, match=r"c.avro: cannot be read to its end: the checksum of a block is another"):
        read("c.avro", repack(b"snappy", lambda block: pa.compress(block, "snappy", asbytes=True) + b"xxxx"))
    assert "snappy" in BLOCK_READERS


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (avro([{"user": "a"}], user="string"), "TMP/log.avro: expected a column id, found user"),
        (avro([{"id": 1.5}], id="double"), "TMP/log.avro: column id: expected string, found double"),
        (
            avro([{"id": "a", "at": "now"}], id="string", at=["null", "string", "boolean"]),
            "TMP/log.avro: column at: expected double, found boolean or string",
        ),
        (
            avro([{"id": datetime(2024, 1, 1, tzinfo=UTC)}], id=AT),
            "TMP/log.avro: column id: expected string, found timestamp-millis",
        ),
        (
            avro([{"id": "a", "tags": "x"}], id="string", tags="string"),
            "TMP/log.avro: column tags: expected list<item: string>, found string",
        ),
    ],
)
def test_avro_of_another_schema(refused: Callable[..., str], content: bytes, expected: str) -> None:
    assert refused("log.avro", content) == expected


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
        "log.parquet", str(tmp_path), source=Source(path="log.parquet"), key="k", first_number=3, match=match_files
    )
    found = list(read_batches(ranges_of(files)[0], COLUMNS, required=["id"], time="at", open_file=open_file))
    assert [(row["id"], row["tags"]) for batch in found for row in batch.rows.to_pylist()] == [
        ("a", ["x"]),
        ("\u00e9", []),
        (None, None),
    ]
    assert [locate(n) for batch in found for n in batch.places.tolist()] == [Place(3, 0), Place(3, 2), Place(3, 3)]
    bad = [(locate(batch.first_place + one.offset), one.reason, one.content) for batch in found for one in batch.bad]
    assert bad == [
        (Place(3, 1), "invalid_utf8", '{"id": "\ufffd", "at": null, "tags": ["y"]}'.encode()),
        (Place(3, 4), "invalid_utf8", '{"id": "e", "at": null, "tags": ["z", "\ufffd\ufffd\ufffd", "w"]}'.encode()),
        (Place(3, 5), "invalid_utf8", '{"id": "f\ufffd(", "at": null, "tags": []}'.encode()),
    ]
    assert sum(batch.lines for batch in found) == 6


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    "kind", [pa.string_view(), pa.binary(), pa.large_binary(), pa.dictionary(pa.int32(), pa.string())]
)
def test_texts_of_parquet_in_other_types(read: Read, kind: pa.DataType) -> None:
    words = pa.array(["a", None, "b"]).cast(kind)
    tags = pa.ListArray.from_arrays([0, 2, 2, 3], words)
    rows, _, bad = read("log.parquet", parquet(id=words, tags=tags))
    assert [(row["id"], row["tags"]) for row in rows] == [("a", ["a", None]), (None, []), ("b", ["b"])]
    assert bad == []


def test_bytes_of_parquet_that_are_no_text_are_rejected_by_their_row(read: Read) -> None:
    rows, places, bad = read("log.parquet", parquet(id=[b"a", b"\xff", b"c"]))
    assert (ids(rows), places, bad) == (["a", "c"], [0, 2], [(1, "invalid_utf8")])


def test_lists_of_parquet_that_are_all_of_one_length(read: Read) -> None:
    tags = pa.array([["x", "y"], ["z", None]], pa.list_(pa.string(), 2))
    rows, _, bad = read("log.parquet", parquet(id=["a", "b"], tags=tags))
    assert ([row["tags"] for row in rows], bad) == ([["x", "y"], ["z", None]], [])


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
    rows, _, bad = read("log.parquet", parquet(id=["a", "b"], at=numbers))
    assert ([row["at"] for row in rows], bad) == (expected, [])


@pytest.mark.parametrize("tags", [[{"name": "a"}], [["a"]]])
def test_parquet_whose_lists_hold_no_texts(refused: Callable[..., str], tags: list[object]) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": ["a"], "tags": [tags]}), sink)
    said = refused("log.parquet", sink.getvalue())
    assert said.startswith("TMP/log.parquet: column tags: expected list<item: string>, found list<")
    assert "\n" not in said


def test_avro_that_is_none(refused: Callable[..., str]) -> None:
    sink = io.BytesIO()
    fastavro.writer(sink, "string", ["a"])
    assert refused("log.avro", sink.getvalue()) == "TMP/log.avro: expected records, found Avro of another type"
    assert refused("log.avro", b'{"id": "a"}\n').startswith("TMP/log.avro: cannot be read to its end: ")


# ---------------------------------------------------------------------------------------------------------- endings


def test_an_ending_that_says_nothing(refused: Callable[..., str]) -> None:
    assert refused("log.txt.gz", b"x") == (
        "k: TMP/log.txt.gz: expected .jsonl, .ndjson, .json, .csv, .tsv, .parquet, .avro, perhaps with .gz, .zst, .bz2 "
        "behind; or set its format"
    )
    assert refused("log.parquet.gz", b"x") == (
        "k: TMP/log.parquet.gz: Parquet is read from its end, so it can't be compressed as a whole"
    )
