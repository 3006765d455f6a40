"""Writing a dataset's files, each through Beam's FileSystems, each with what the manifest says of it."""

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from isal import isal_zlib

from features.records import digest_records, frame_records
from pipelines.aggregation import output
from pipelines.aggregation.input_files import NamedFile
from pipelines.aggregation.output import GZIP, LEVEL, Target, Written
from pipelines.aggregation.packing import Keyed, concat, unpack
from pipelines.beam.shuffle import Grouped
from pipelines.beam.sources import read_file
from stage.errors import StageError
from stage.manifest import UNFINISHED
from stage.output import refuse_other_run

HALVES = pa.schema([("id", pa.string()), ("half", pa.large_binary())])
"""Encoded halves of entities."""


def write_file(directory: str, name: str, *, chunks: Iterable[bytes]) -> tuple[int, str]:
    """Writes a file; what a killed worker leaves of one is named by no manifest.

    Returns:
        Its size in bytes and its SHA-256 in hex.

    Raises:
        StageError: If it can't be written, as on a full disk.
    """
    path = FileSystems.join(directory, *name.split("/"))
    size, sha256 = 0, hashlib.sha256()
    try:
        with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            for chunk in chunks:
                file.write(chunk)
                size += len(chunk)
                sha256.update(chunk)
    except OSError as error:
        raise StageError(f"{path}: cannot be written: {error.strerror or error}") from None
    return size, sha256.hexdigest()


def write_whole(directory: str, name: str, *, content: bytes) -> None:
    """Writes a file that appears whole or not at all: beside its place, then renamed."""
    beside = f"{name}.{uuid.uuid4().hex[:8]}.tmp"
    write_file(directory, beside, chunks=[content])
    FileSystems.rename([FileSystems.join(directory, beside)], [FileSystems.join(directory, name)])


def check_own(target: Target) -> None:
    """Checks that the output is still this job's, before files are written whose names don't say whose they are.

    Raises:
        StageError: If another run has begun there, and perhaps ended.
    """
    mark = FileSystems.join(target.directory, UNFINISHED)
    said = read_file(mark) if FileSystems.exists(mark) else b""
    refuse_other_run(said, target.directory, run_id=target.run_id)


def write_corpus(element: Grouped, target: Target) -> Written:
    """(shard, encoded items) -> the shard of items/, in the order of a seeded hash."""
    shard, tables = element
    halves = output.entities_in_order(concat(tables, HALVES)).column("half").to_pylist()
    name = target.shard_name("items", shard, ending=".tfrecord.gz")
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

    size, sha256 = write_file(directory, name, chunks=compressed())
    return Written(content, name, size, sha256, records, digest)


def write_entities(element: Keyed, target: Target, *, table: str) -> Written:
    """(shard, entities) -> the shard of entities/TABLE-*.parquet."""
    shard, entities = element
    return output.write_entities(unpack(entities), table, shard=shard, target=target, write_file=write_file)


def write_rejects(element: Grouped, target: Target, *, names: Mapping[int, NamedFile], keep_content: bool) -> Written:
    """(shard, rejects) -> the shard of rejects/*.jsonl.gz, as `output.write_rejects` makes it."""
    shard, rejects = element
    return output.write_rejects(
        rejects, shard, names=names, keep_content=keep_content, target=target, write_file=write_file
    )


def write_single(data: bytes, name: str, *, content: str, target: Target) -> Written:
    """Writes a file of one record, whose name doesn't say whose it is.

    Raises:
        StageError: If another run has taken the output over, or the file can't be written.
    """
    check_own(target)
    return output.write_content(data, name, content=content, target=target, write_file=write_file)
