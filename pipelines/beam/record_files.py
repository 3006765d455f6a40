"""Encoded halves and examples as gzipped TFRecord files, each with what the manifest says of it."""

from collections.abc import Iterator

import pyarrow as pa
from isal import isal_zlib

from features.records import digest_records, frame_records
from pipelines.aggregation.elements import Grouped
from pipelines.aggregation.output import GZIP, LEVEL, Target, Written, entities_in_order
from pipelines.aggregation.packing import concat
from stage.output import write_file

HALVES = pa.schema([("id", pa.string()), ("half", pa.large_binary())])
"""Encoded halves of entities."""


def write_corpus(element: Grouped, target: Target) -> Written:
    """(shard, encoded items) -> the shard of items/, in the order of a seeded hash."""
    shard, tables = element
    halves = entities_in_order(concat(tables, HALVES)).column("half").to_pylist()
    name = target.shard_name("items/", shard, ending=".tfrecord.gz")
    return write_records(target.directory, name, content="items", chunks=iter([halves]))


def write_records(directory: str, name: str, *, content: str, chunks: Iterator[list[bytes]]) -> Written:
    """Writes records as a gzipped TFRecord file."""
    records, digest = 0, 0

    def compressed() -> Iterator[bytes]:
        nonlocal records, digest
        deflate = isal_zlib.compressobj(LEVEL, wbits=GZIP)
        for chunk in chunks:
            records += len(chunk)
            digest += digest_records(chunk)
            yield deflate.compress(frame_records(chunk))
        yield deflate.flush()

    file = write_file(directory, name, chunks=compressed())
    return Written(content, file.model_copy(update={"records": records}), digest)
