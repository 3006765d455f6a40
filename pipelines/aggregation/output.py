"""What is written per shard, and what a manifest says of it; how a file gets to its place is the engine's to say."""

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

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
from pipelines.aggregation.input_files import NamedFile
from pipelines.aggregation.packing import Packed, concat
from stage.manifest import File

GZIP = 31  # zlib's wbits for a gzip frame
LEVEL = 1  # of ISA-L: as small as zlib's level 1, seven times as fast
_ORDER_SEED = 0x0DE2
"""Of the hash that orders the rows of a shard."""


@runtime_checkable  # Beam compares it with what a step is given
class WriteFile(Protocol):
    """Writes a file of an output whole, as an engine does."""

    def __call__(self, directory: str, name: str, *, chunks: Iterable[bytes]) -> tuple[int, str]:
        """Returns how many bytes it wrote, and their SHA-256 in hex. The name is a path below the directory."""
        ...


@dataclass(frozen=True)
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

    def shard_name(self, folder: str, shard: int, *, ending: str) -> str:
        """A file's path below the directory; the run's id is in it, so that runs never mix."""
        separator = "" if folder.endswith("-") else "/"
        return f"{folder}{separator}{self.run_id}-{shard:05d}-of-{self.shards:05d}{ending}"


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


def write_entities(entities: pa.Table, table: str, *, shard: int, target: Target, write_file: WriteFile) -> Written:
    """Writes a shard of entities/TABLE-*.parquet, in the order of a seeded hash."""
    entities = entities_in_order(entities)
    name = target.shard_name(f"entities/{table}-", shard, ending=".parquet")
    size, sha256 = write_file(target.directory, name, chunks=[to_parquet(entities)])
    digest = digest_records(encode_rows(entities).to_pylist())
    return Written(f"entities/{table}", name, size, sha256, entities.num_rows, digest)


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
    least: int = pc.min(rejects.column("place")).as_py()
    return least % shards


def write_rejects(
    rejects: Iterable[Packed],
    shard: int,
    *,
    names: Mapping[int, NamedFile],
    keep_content: bool,
    target: Target,
    write_file: WriteFile,
) -> Written:
    """Writes a shard of rejects/, in the order of the places: reason, file, byte or row, lines, what the line said.

    Args:
        rejects: Schema REJECTS each.
        shard: Its number.
        names: File number -> its name.
        keep_content: Whether to write down what a line said.
        target: Where to.
        write_file: Writes a file.
    """
    table = concat(rejects, REJECTS).sort_by([("place", "ascending"), ("reason", "ascending")])
    lines = [_describe(row, names, keep_content=keep_content) for row in table.to_pylist()]
    name = target.shard_name("rejects", shard, ending=".jsonl.gz")
    deflate = isal_zlib.compressobj(LEVEL, wbits=GZIP)
    chunks = [deflate.compress(b"".join(line + b"\n" for line in lines)), deflate.flush()]
    size, sha256 = write_file(target.directory, name, chunks=chunks)
    return Written("rejects", name, size, sha256, len(lines), digest_records(lines))


def _describe(row: dict[str, Any], names: Mapping[int, NamedFile], *, keep_content: bool) -> bytes:
    found = locate(row["place"])
    file = names[found.file]
    where = {file.unit: found.offset} if file.unit else {}
    described = {"reason": row["reason"], "file": file.name, **where, "lines": row["lines"]}
    if keep_content and row["content"] is not None:
        described["content"] = row["content"].decode("utf-8", "backslashreplace")
    return json.dumps(described, ensure_ascii=False).encode()


def write_content(data: bytes, name: str, *, content: str, target: Target, write_file: WriteFile) -> Written:
    """Writes a file that is one record."""
    size, sha256 = write_file(target.directory, name, chunks=[data])
    return Written(content, name, size, sha256, 1, digest_records([data]))


def in_order(pairs: pa.Table) -> pa.Table:
    """Pairs in the order of a seeded hash, those of one query and item by split and time."""
    times = pairs.column("last").cast(pa.int64()).fill_null(0).to_numpy()
    order = np.lexsort((times, pairs.column("split").to_numpy(), hash_of_pairs(pairs, _ORDER_SEED)))
    return pairs.take(pa.array(order))


def write_pairs(pairs: pa.Table, shard: int, *, target: Target, write_file: WriteFile) -> Written:
    """Writes a shard of pairs/*.parquet, in the order of a seeded hash."""
    pairs = in_order(pairs)
    name = target.shard_name("pairs", shard, ending=".parquet")
    size, sha256 = write_file(target.directory, name, chunks=[to_parquet(pairs)])
    return Written("pairs", name, size, sha256, pairs.num_rows, digest_pairs(pairs))


def digest_pairs(pairs: pa.Table) -> int:
    """The digest of pairs, free of order (`features.records`)."""
    types = {
        HISTORY_TYPE: pa.large_list(pa.large_string()),
        **dict.fromkeys((pa.int8(), pa.timestamp("us"), pa.bool_()), pa.int64()),
    }
    plain = pa.schema([pa.field(f.name, types.get(f.type, f.type)) for f in pairs.schema])
    return digest_records(encode_rows(pairs.cast(plain)).to_pylist())
