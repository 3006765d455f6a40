"""Writing a dataset's files, each through Beam's FileSystems, each with what the manifest says of it."""

import hashlib
import io
import json
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from isal import isal_zlib

from features.entities import encode_entities
from features.example_codec import join_halves
from features.hashing import hash_pairs, hash_texts
from features.interactions import REJECTS
from features.pairs import PAIRS
from features.places import locate
from features.records import digest_records, frame_records
from features.split import SPLITS
from pipelines.beam.counting import show
from pipelines.beam.shuffle import CoGrouped, Grouped, Keyed, Packed, concat, unpack

HALVES = pa.schema([("id", pa.string()), ("half", pa.large_binary())])
"""Encoded halves of entities."""

EXAMPLES_PER_CHUNK = 16_384
_GZIP = 31  # zlib's wbits for a gzip frame
_LEVEL = 1  # of ISA-L: as small as zlib's level 1, seven times as fast
_ORDER_SEED = 0x0DE2


@dataclass(frozen=True)
class Written:
    """A file that was written."""

    content: str
    """The part of the dataset it belongs to, as the manifest's `content` names it."""
    name: str
    """Path below the dataset's directory."""
    size: int
    sha256: str
    records: int
    digest: int
    """Of its records, free of order (`features.records`)."""


@dataclass(frozen=True)
class Target:
    """Where a run writes."""

    directory: str
    run_id: str
    shards: int

    def shard_name(self, folder: str, shard: int, ending: str) -> str:
        """A file's path below the directory; the run's id is in it, so that runs never mix."""
        separator = "" if folder.endswith("-") else "/"
        return f"{folder}{separator}{self.run_id}-{shard:05d}-of-{self.shards:05d}{ending}"


def write_file(directory: str, name: str, chunks: Iterable[bytes]) -> tuple[int, str]:
    """Writes a file; what a killed worker leaves of one is named by no manifest.

    Returns:
        Its size in bytes and its SHA-256 in hex.
    """
    path = FileSystems.join(directory, *name.split("/"))
    size, sha256 = 0, hashlib.sha256()
    with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        for chunk in chunks:
            file.write(chunk)
            size += len(chunk)
            sha256.update(chunk)
    return size, sha256.hexdigest()


def write_whole(directory: str, name: str, content: bytes) -> None:
    """Writes a file that appears whole or not at all: beside its place, then renamed."""
    beside = f"{name}.{uuid.uuid4().hex[:8]}.tmp"
    write_file(directory, beside, [content])
    FileSystems.rename([FileSystems.join(directory, beside)], [FileSystems.join(directory, name)])


class WriteExamples(beam.DoFn):
    """(shard, its pairs and encoded queries), all encoded items aside -> the files of its splits."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def process(self, element: CoGrouped, items: Packed) -> Iterable[Written]:
        """Joins the halves and writes, in the order of a seeded hash."""
        shard, found = element
        pairs = concat(found["pairs"], PAIRS)
        pairs = pairs.filter(pc.invert(pairs.column("thinned")))
        queries = concat(found["queries"], HALVES)
        order = hash_pairs(_column(pairs, "query_id"), _column(pairs, "item_id"), _ORDER_SEED)
        pairs = pairs.take(pa.array(np.argsort(order, kind="stable")))
        for code, split in enumerate(SPLITS):
            mine = pairs.filter(pc.equal(pairs.column("split"), code))
            name = self._target.shard_name(split, shard, ".tfrecord.gz")
            yield write_records(self._target.directory, name, split, _examples(mine, queries, unpack(items)))
            show("examples", mine.num_rows)


def _examples(pairs: pa.Table, queries: pa.Table, items: pa.Table) -> Iterator[list[bytes]]:
    query_ids, item_ids = _column(queries, "id"), _column(items, "id")
    for start in range(0, pairs.num_rows, EXAMPLES_PER_CHUNK):
        chunk = pairs.slice(start, EXAMPLES_PER_CHUNK)
        query_rows = pc.index_in(_column(chunk, "query_id"), query_ids)
        item_rows = pc.index_in(_column(chunk, "item_id"), item_ids)
        if query_rows.null_count or item_rows.null_count:
            raise AssertionError("a pair has no encoded query or item")
        yield join_halves(_column(queries, "half").take(query_rows), _column(items, "half").take(item_rows)).to_pylist()


class WriteCorpus(beam.DoFn):
    """(shard, encoded items) -> the shard of items/."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def process(self, element: Grouped) -> Iterable[Written]:
        """Writes in the order of a seeded hash."""
        shard, tables = element
        items = concat(tables, HALVES)
        order = np.argsort(hash_texts(_column(items, "id"), _ORDER_SEED), kind="stable")
        halves = _column(items, "half").take(pa.array(order)).to_pylist()
        name = self._target.shard_name("items", shard, ".tfrecord.gz")
        yield write_records(self._target.directory, name, "items", iter([halves]))


def write_records(directory: str, name: str, content: str, chunks: Iterator[list[bytes]]) -> Written:
    """Writes records as a gzipped TFRecord file."""
    records, digest = 0, 0

    def compressed() -> Iterator[bytes]:
        nonlocal records, digest
        deflate = isal_zlib.compressobj(_LEVEL, wbits=_GZIP)
        for chunk in chunks:
            records += len(chunk)
            digest += digest_records(chunk)
            yield deflate.compress(frame_records(chunk))
        yield deflate.flush()

    size, sha256 = write_file(directory, name, compressed())
    return Written(content, name, size, sha256, records, digest)


class WriteEntities(beam.DoFn):
    """(shard, entities) -> entities/KIND-*.parquet."""

    def __init__(self, target: Target, kind: str) -> None:
        self._target = target
        self._kind = kind

    def process(self, element: Keyed) -> Iterable[Written]:
        """Writes in the order of a seeded hash."""
        shard, entities = element[0], unpack(element[1])
        order = np.argsort(hash_texts(_column(entities, "id"), _ORDER_SEED), kind="stable")
        entities = entities.take(pa.array(order))
        buffer = io.BytesIO()
        pq.write_table(entities, buffer, compression="zstd")
        name = self._target.shard_name(f"entities/{self._kind}-", shard, ".parquet")
        size, sha256 = write_file(self._target.directory, name, [buffer.getvalue()])
        digest = digest_records(encode_entities(entities).to_pylist())
        yield Written(f"entities/{self._kind}", name, size, sha256, entities.num_rows, digest)


class WriteRejects(beam.DoFn):
    """(shard, rejects) -> rejects/*.jsonl.gz: reason, file, byte or row, lines, and what the line said."""

    def __init__(self, target: Target, names: dict[int, tuple[str, str]], *, keep_content: bool) -> None:
        """Takes file number -> (name, "byte" or "row")."""
        self._target = target
        self._names = names
        self._keep_content = keep_content

    def process(self, element: Grouped) -> Iterable[Written]:
        """Writes in the order of the places."""
        shard, tables = element
        rejects = concat(tables, REJECTS).sort_by([("place", "ascending"), ("reason", "ascending")])
        lines = [self._describe(row) for row in rejects.to_pylist()]
        name = self._target.shard_name("rejects", shard, ".jsonl.gz")
        deflate = isal_zlib.compressobj(_LEVEL, wbits=_GZIP)
        chunks = [deflate.compress(b"".join(line + b"\n" for line in lines)), deflate.flush()]
        size, sha256 = write_file(self._target.directory, name, chunks)
        yield Written("rejects", name, size, sha256, len(lines), digest_records(lines))

    def _describe(self, row: dict[str, object]) -> bytes:
        found = locate(int(str(row["place"])))
        name, unit = self._names[found.file]
        described = {"reason": row["reason"], "file": name, unit: found.offset, "lines": row["lines"]}
        if self._keep_content and isinstance(row["content"], bytes):
            described["content"] = row["content"].decode("utf-8", "backslashreplace")
        return json.dumps(described, ensure_ascii=False).encode()


class WriteBytes(beam.PTransform):
    """One file out of a collection of one element, its bytes."""

    def __init__(self, target: Target, name: str, content: str) -> None:
        super().__init__()
        self._target, self._name, self._content = target, name, content

    def expand(self, data: beam.PCollection) -> beam.PCollection:
        """Writes, and says what was written."""
        return data | beam.Map(_write_bytes, self._target, self._name, self._content)


def _write_bytes(data: bytes, target: Target, name: str, content: str) -> Written:
    size, sha256 = write_file(target.directory, name, [data])
    return Written(content, name, size, sha256, 1, digest_records([data]))


def _column(table: pa.Table, name: str) -> pa.Array:
    return table.column(name).combine_chunks()
