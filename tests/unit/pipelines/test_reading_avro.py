"""Files of Avro: rows and places, codecs, and what is said of those that can't be read."""

import gzip
import io
import json
import random
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import fastavro
import pyarrow as pa
import pytest
import zstandard
from fastavro._read_common import HEADER_SCHEMA
from fastavro.read import BLOCK_READERS
from formats import Read, Rows, avro, ids

from stage.errors import StageError

AT = {"type": "long", "logicalType": "timestamp-millis"}
ARRAY_OF_NUMBERS = {"type": "array", "items": ["null", "boolean", "double"]}


@pytest.mark.parametrize(
    ("items", "values"),
    [("long", [7, -(2**63)]), (["null", "int"], [7, None]), ({"type": "string", "logicalType": "uuid"}, [UUID(int=7)])],
)
def test_arrays_of_integers_and_uuids_are_lists_of_texts(read: Read, items: Any, values: list[Any]) -> None:
    content = avro(
        [{"id": "a", "tags": values}, {"id": "b", "tags": []}], id="string", tags={"type": "array", "items": items}
    )
    texts = [None if value is None else str(value) for value in values]
    assert ([row["tags"] for row in read("log.avro", content)[0]]) == [texts, []]


def test_avro_is_read_by_rows(read: Read) -> None:
    at = datetime(2024, 1, 1, tzinfo=UTC)
    given = [{"id": 7, "at": at, "tags": []}, {"id": "a", "at": None, "tags": ["x"]}]
    types = {"id": ["long", "string", "boolean"], "at": ["null", AT], "tags": {"type": "array", "items": "string"}}
    expected: Rows = [{"id": "7", "at": at, "tags": []}, {"id": "a", "at": None, "tags": ["x"]}]
    assert read("log.avro", avro(given, **types)) == (expected, [0, 1], [])
    assert read("log.avro.gz", gzip.compress(avro(given, "deflate", **types))) == (expected, [0, 1], [])
    given[1] = {"id": True, "at": at, "tags": []}
    assert read("log.avro", avro(given, **types))[1:] == ([0], [(1, "wrong_type (id)")])


def test_avro_takes_enums_and_names_declared_before(read: Read) -> None:
    kind = {"type": "enum", "name": "kind", "symbols": ["a", "b"]}
    content = avro([{"other": "a", "id": "b", "at": 1}], other=kind, id="kind", at="int")
    assert read("log.avro", content)[0] == [{"id": "b", "at": 1.0, "tags": None}]


def test_values_of_avro_that_are_none_are_rejected_by_their_row_and_cost_nothing_in_columns_that_nobody_reads(
    read: Read,
) -> None:
    micros = {"type": "long", "logicalType": "timestamp-micros"}
    uuid = {"type": "string", "logicalType": "uuid"}
    written = {"id": "bytes", "at": ["null", "long"], "other": "bytes", "when": "long", "key": "string"}
    claimed = {"id": "string", "at": ["null", micros], "other": "string", "when": micros, "key": uuid}
    good = {"id": b"a", "at": 5, "other": b"\xff", "when": 2**62, "key": "none"}
    rows = [good, good | {"at": 2**62}, good | {"id": b"\xff"}, good | {"at": None}, good | {"id": b"e"}]
    assert read("log.avro", claiming(avro(rows, **written), **claimed)) == (
        [
            {"id": id, "at": at and datetime(1970, 1, 1, 0, 0, 0, at, UTC), "tags": None}
            for id, at in (("a", 5), ("a", None), ("e", 5))
        ],
        [0, 3, 4],
        [(1, "wrong_type (at)"), (2, "invalid_utf8")],
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


def number(value: int) -> bytes:
    """A length as Avro writes it: twice as much, seven bits a byte, the lowest first."""
    value, written = 2 * value, b""
    while value > 127:
        value, written = value >> 7, written + bytes([128 | value & 127])
    return written + bytes([value])


def in_one_block(names: list[str], codec: str, compress: Callable[[bytes], bytes]) -> bytes:
    """An Avro file of rows with an id each, in a codec that fastavro doesn't write here."""
    header = avro([], id="string")
    block = compress(b"".join(number(len(name)) + name.encode() for name in names))
    of_codec = b"\x14avro.codec" + number(len(codec)) + codec.encode()
    body = number(len(names)) + number(len(block)) + block + header[-16:]
    return header.replace(b"\x14avro.codec\x08null", of_codec) + body


def snappy(block: bytes) -> bytes:
    return pa.compress(block, "snappy", asbytes=True) + zlib.crc32(block).to_bytes(4, "big")


@pytest.mark.parametrize(("codec", "compress"), [("snappy", snappy), ("zstandard", zstandard.compress)])
def test_avro_with_codecs_that_fastavro_knows_only_with_other_libraries(
    read: Read, monkeypatch: pytest.MonkeyPatch, codec: str, compress: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr("pipelines.aggregation.batches.ROWS_PER_BATCH", 300)
    draw = random.Random(codec)
    names = [f"{draw.getrandbits(64):x}" for _ in range(2_000)]
    for some in (names[:1], names[:9], names):  # blocks whose lengths have one, two and three bytes
        rows, places, _ = read("a.avro", in_one_block(some, codec, compress))
        assert (ids(rows), places) == (some, list(range(len(some))))
    whole = in_one_block(names, codec, compress)
    assert len(whole) > 10_000
    with pytest.raises(StageError, match=r"cut.avro: cannot be read to its end: truncated"):
        read("cut.avro", whole[:-1_000])
    assert codec in BLOCK_READERS


def test_avro_whose_checksum_is_another(read: Read) -> None:
    content = in_one_block(["a"], "snappy", lambda block: pa.compress(block, "snappy", asbytes=True) + b"xxxx")
    with pytest.raises(StageError, match=r"c.avro: cannot be read to its end: the checksum of a block is another"):
        read("c.avro", content)


def test_avro_that_claims_a_column_twice(refused: Callable[..., str]) -> None:
    fields = [{"name": name, "type": "string"} for name in ("id", "other", "id")]
    sink = io.BytesIO()
    fastavro.writer(sink, {"type": "record", "name": "row", "fields": fields}, [{"id": "a", "other": "b"}])
    assert refused("log.avro", sink.getvalue()) == "TMP/log.avro: expected one column id, found id, other, id"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (avro([{"user": "a"}], user="string"), "TMP/log.avro: expected a column id (sources.items.id), found user"),
        (
            avro([{"id": 1.5}], id="double"),
            "TMP/log.avro: column id (sources.items.id): expected text or integers, found double; "
            "cast whole numbers to int64 where the file is written; "
            "pandas makes floats of those with missing values",
        ),
        (
            avro([{"id": "a", "at": "now"}], id="string", at="string"),
            "TMP/log.avro: column at: expected times or numbers, found string; name its unit, or iso, in "
            "sources.interactions.timestamp_unit",
        ),
        (
            avro([{"id": "a", "at": "now"}], id="string", at=["null", "string", "boolean"]),
            "TMP/log.avro: column at: expected times or numbers, found boolean or string",
        ),
        (
            avro([{"id": datetime(2024, 1, 1, tzinfo=UTC)}], id=AT),
            "TMP/log.avro: column id (sources.items.id): expected text or integers, found timestamp-millis; cast "
            "it to text where the file is written",
        ),
        (
            avro([{"id": ["a"]}], id=["null", {"type": "array", "items": ["string", "long"]}]),
            "TMP/log.avro: column id (sources.items.id): expected text or integers, found an array of long or string",
        ),
        (
            avro([{"id": "a", "tags": "x"}], id="string", tags="string"),
            "TMP/log.avro: column tags: expected lists of texts or integers, found string; split it into a list "
            "where the file is written",
        ),
        (
            avro([{"id": "a", "tags": [1.5]}], id="string", tags=["null", ARRAY_OF_NUMBERS]),
            "TMP/log.avro: column tags: expected lists of texts or integers, found an array of boolean or double; "
            "cast whole numbers to int64 where the file is written; "
            "pandas makes floats of those with missing values",
        ),
    ],
)
def test_avro_of_another_schema(refused: Callable[..., str], content: bytes, expected: str) -> None:
    assert refused("log.avro", content) == expected


def test_avro_that_is_none(refused: Callable[..., str]) -> None:
    sink = io.BytesIO()
    fastavro.writer(sink, "string", ["a"])
    assert refused("log.avro", sink.getvalue()) == "TMP/log.avro: expected records, found Avro of another type"
    assert refused("log.avro", b'{"id": "a"}\n').startswith("TMP/log.avro: cannot be read to its end: ")
