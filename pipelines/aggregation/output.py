"""What is written per shard, and what a manifest says of it; whichever engine's task writes it."""

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

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
from stage.manifest import File
from stage.output import check_own, write_file

GZIP = 31  # zlib's wbits for a gzip frame
LEVEL = 1  # of ISA-L: as small as zlib's level 1, seven times as fast
_ORDER_SEED = 0x0DE2
"""Of the hash that orders the rows of a shard."""


@dataclass(frozen=True)
class Written:
    """A file of records that was written."""

    content: str
    """The part of the output it belongs to, as the manifest's `content` names it; empty: to none."""
    file: File
    digest: int
    """Of its records, free of order (`features.records`)."""


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
        records[written.content] = records.get(written.content, 0) + (written.file.records or 0)
    return {name: digest_text(add_digests(parts)) for name, parts in digests.items() if name}, records


def write_entities(element: Keyed, target: Target, *, table: str) -> Written:
    """Writes a shard of queries or items, (shard, entities), as entities/TABLE-*.parquet, in the order of a hash."""
    shard, packed = element
    name = target.shard_name(f"entities/{table}-", shard, ending=".parquet")
    return _write_table(entities_in_order(unpack(packed)), name, content=f"entities/{table}", target=target)


def entities_in_order(entities: pa.Table) -> pa.Table:
    """Rows with an `id` in the order of a seeded hash."""
    order = np.argsort(hash_texts(entities.column("id").combine_chunks(), _ORDER_SEED), kind="stable")
    return entities.take(pa.array(order))


def to_parquet(table: pa.Table) -> bytes:
    """A table as a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _write_table(rows: pa.Table, name: str, *, content: str, target: Target) -> Written:
    file = write_file(target.directory, name, chunks=[to_parquet(rows)], records=rows.num_rows)
    return Written(content, file, digest_rows(rows))


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
    chunks = [isal_zlib.compress(b"".join(line + b"\n" for line in lines), LEVEL, GZIP)]
    file = write_file(target.directory, name, chunks=chunks, records=len(lines))
    return Written("rejects", file, digest_records(lines))


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
    file = write_file(target.directory, name, chunks=[data], records=1)
    return Written(content, file, digest_records([data]))


def in_order(pairs: pa.Table) -> pa.Table:
    """Pairs in the order of a seeded hash, those of one query and item by split and time."""
    times = pairs.column("last").cast(pa.int64()).fill_null(0).to_numpy()
    order = np.lexsort((times, pairs.column("split").to_numpy(), hash_of_pairs(pairs, _ORDER_SEED)))
    return pairs.take(pa.array(order))


def write_pairs(element: Keyed, target: Target) -> Written:
    """Writes a shard of pairs, (shard, pairs), as pairs/*.parquet, in the order of a seeded hash."""
    shard, packed = element
    name = target.shard_name("pairs/", shard, ending=".parquet")
    return _write_table(in_order(unpack(packed)), name, content="pairs", target=target)


def digest_rows(rows: pa.Table) -> int:
    """The digest of entities or pairs, free of order (`features.records`)."""
    types = {
        HISTORY_TYPE: pa.large_list(pa.large_string()),
        **dict.fromkeys((pa.int8(), pa.timestamp("us"), pa.bool_()), pa.int64()),
    }
    plain = pa.schema([pa.field(f.name, types.get(f.type, f.type)) for f in rows.schema])
    return digest_records(encode_rows(rows.cast(plain)).to_pylist())
