"""What is written per shard, and what a manifest says of it; whichever engine's task writes it."""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from isal import isal_zlib

from features.hashing import hash_texts
from features.interactions import REJECTS
from features.pairs import hash_of_pairs
from features.places import locate
from features.records import add_digests, digest_records, digest_text
from features.row_lists import encode_rows
from features.sessions import HISTORY_TYPE
from features.shards import shard_of_place
from pipelines.aggregation.input_files import NamedFile
from pipelines.aggregation.packing import Keyed, Packed, concat, unpack
from stage import storage
from stage.manifest import File
from stage.output import check_own

GZIP = 31  # zlib's wbits for a gzip frame
LEVEL = 1  # of ISA-L: as small as zlib's level 1, seven times as fast
_ORDER_SEED = 0x0DE2
"""Of the hash that orders the rows of a shard."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """A file that was written."""

    content: str
    """The part of the output it belongs to, as the manifest's `content` names it; empty: to none."""
    name: str
    """Path below the output directory."""
    size: int
    sha256: str
    records: int
    digest: int
    """Of its records, free of order (`features.records`)."""

    def as_file(self) -> File:
        """What a manifest says of it."""
        return File(name=self.name, size=self.size, sha256=self.sha256, records=self.records)


@dataclass(frozen=True)
class Target:
    """Where a run writes."""

    directory: str
    run_id: str
    shards: int

    def shard_name(self, prefix: str, shard: int, *, ending: str) -> str:
        """A file's path below the directory; the run's id is in it, so that runs never mix."""
        return f"{prefix}{self.run_id}-{shard:05d}-of-{self.shards:05d}{ending}"


def sum_by_content(files: Iterable[Written], contents: Iterable[str]) -> tuple[dict[str, str], dict[str, int]]:
    """The digest and the number of records of each part of an output.

    Args:
        files: What was written, each file once.
        contents: Parts that stand there even where they have no file.
    """
    digests: dict[str, list[int]] = {name: [] for name in contents}
    records: dict[str, int] = {}
    for written in files:
        digests.setdefault(written.content, []).append(written.digest)
        records[written.content] = records.get(written.content, 0) + written.records
    return {name: digest_text(add_digests(parts)) for name, parts in digests.items() if name}, records


def write_file(directory: str, name: str, *, chunks: Iterable[bytes]) -> tuple[int, str]:
    """Writes a file whole or not at all; a task that runs again writes the same.

    Args:
        directory: The output directory.
        name: Path below it.
        chunks: Its bytes, one after another.

    Returns:
        Its size in bytes and its SHA-256 in hex.

    Raises:
        StageError: If it can't be written, as on a full disk.
    """
    size, sha256 = 0, hashlib.sha256()

    def write(file: IO[bytes]) -> None:
        nonlocal size
        for chunk in chunks:
            file.write(chunk)
            size += len(chunk)
            sha256.update(chunk)

    storage.write_file(storage.join(directory, name), write)
    return size, sha256.hexdigest()


def write_entities(element: Keyed, target: Target, *, table: str) -> Written:
    """Writes a shard of queries or items, (shard, entities), as entities/TABLE-*.parquet, in the order of a hash."""
    shard, packed = element
    entities = entities_in_order(unpack(packed))
    name = target.shard_name(f"entities/{table}-", shard, ending=".parquet")
    size, sha256 = write_file(target.directory, name, chunks=[to_parquet(entities)])
    digest = digest_records(encode_rows(entities).to_pylist())
    return Written(
        content=f"entities/{table}", name=name, size=size, sha256=sha256, records=entities.num_rows, digest=digest
    )


def entities_in_order(entities: pa.Table) -> pa.Table:
    """Rows with an `id` in the order of a seeded hash."""
    order = np.argsort(hash_texts(entities.column("id").combine_chunks(), _ORDER_SEED), kind="stable")
    return entities.take(pa.array(order))


def to_parquet(table: pa.Table) -> bytes:
    """A table as a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def shard_of_rejects(rejects: pa.Table, shards: int) -> int:
    """Where a table of rejects, schema REJECTS, is written, whatever order its rows have when a task runs again."""
    return shard_of_place(pc.min(rejects.column("place")).as_py(), shards)


def write_rejects(
    element: tuple[int, Iterable[Packed]], target: Target, *, names: Mapping[int, NamedFile], keep_content: bool
) -> Written:
    """Writes a shard of rejects/, in the order of the places: reason, file, byte or row, lines, what the line said.

    Args:
        element: Its number, and its rejects, schema REJECTS each.
        target: Where to.
        names: File number -> its name.
        keep_content: Whether to write down what a line said.
    """
    shard, rejects = element
    table = concat(rejects, REJECTS).sort_by([("place", "ascending"), ("reason", "ascending")])
    lines = [_describe(row, names, keep_content=keep_content) for row in table.to_pylist()]
    name = target.shard_name("rejects/", shard, ending=".jsonl.gz")
    deflate = isal_zlib.compressobj(LEVEL, wbits=GZIP)
    chunks = [deflate.compress(b"".join(line + b"\n" for line in lines)), deflate.flush()]
    size, sha256 = write_file(target.directory, name, chunks=chunks)
    digest = digest_records(lines)
    return Written(content="rejects", name=name, size=size, sha256=sha256, records=len(lines), digest=digest)


def _describe(row: dict[str, Any], names: Mapping[int, NamedFile], *, keep_content: bool) -> bytes:
    number, offset = locate(row["place"])
    file = names[number]
    where = {file.unit: offset} if file.unit else {}
    described = {"reason": row["reason"], "file": file.name, **where, "lines": row["lines"]}
    if keep_content and row["content"] is not None:
        described["content"] = row["content"].decode("utf-8", "backslashreplace")
    return json.dumps(described, ensure_ascii=False).encode()


def write_content(data: bytes, name: str, *, content: str, target: Target) -> Written:
    """Writes a file of one record, whose name doesn't say whose it is.

    Raises:
        StageError: If another run has taken the output over, or the file can't be written.
    """
    check_own(target.directory, run_id=target.run_id)
    size, sha256 = write_file(target.directory, name, chunks=[data])
    digest = digest_records([data])
    return Written(content=content, name=name, size=size, sha256=sha256, records=1, digest=digest)


def in_order(pairs: pa.Table) -> pa.Table:
    """Pairs in the order of a seeded hash, those of one query and item by split and time."""
    times = pairs.column("last").cast(pa.int64()).fill_null(0).to_numpy()
    order = np.lexsort((times, pairs.column("split").to_numpy(), hash_of_pairs(pairs, _ORDER_SEED)))
    return pairs.take(pa.array(order))


def write_pairs(element: Keyed, target: Target) -> Written:
    """Writes a shard of pairs, (shard, pairs), as pairs/*.parquet, in the order of a seeded hash."""
    shard, packed = element
    pairs = in_order(unpack(packed))
    name = target.shard_name("pairs/", shard, ending=".parquet")
    size, sha256 = write_file(target.directory, name, chunks=[to_parquet(pairs)])
    digest = digest_pairs(pairs)
    return Written(content="pairs", name=name, size=size, sha256=sha256, records=pairs.num_rows, digest=digest)


def digest_pairs(pairs: pa.Table) -> int:
    """The digest of pairs, free of order (`features.records`)."""
    types = {
        HISTORY_TYPE: pa.large_list(pa.large_string()),
        **dict.fromkeys((pa.int8(), pa.timestamp("us"), pa.bool_()), pa.int64()),
    }
    plain = pa.schema([pa.field(f.name, types.get(f.type, f.type)) for f in pairs.schema])
    return digest_records(encode_rows(pairs.cast(plain)).to_pylist())
