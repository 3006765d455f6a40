"""A finished aggregate in place of raw logs and tables, as collections."""

from collections.abc import Iterable

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from isal import igzip

from features.entities import entity_schema
from features.records import digest_records
from features.sessions import pair_schema
from pipelines.aggregation.finished import FinishedAggregate
from pipelines.aggregation.output import Target, Written
from pipelines.aggregation.packing import Keyed, concat, key_by_shard, pack
from pipelines.beam.aggregate import Aggregated
from pipelines.beam.shuffle import Grouped
from pipelines.beam.sinks import write_file
from pipelines.beam.sources import open_file
from stage import storage


def read_aggregate(pipeline: beam.Pipeline, source: FinishedAggregate) -> Aggregated:
    """Reads what aggregate-spark left; the shards are made anew, so they may be more or fewer."""
    spec, target, directory = source.spec, source.target, source.directory
    names = source.manifest.names
    entities = {
        kind: [name for name in names("entities", ".parquet") if name.startswith(f"entities/{kind}-")]
        for kind in ("items", "queries")
    }
    return Aggregated(
        pairs=pipeline
        | "Pairs" >> _ReadShards(directory, names("pairs", ".parquet"), "query_id", pair_schema(spec), target.shards),
        items=pipeline
        | "Items" >> _ReadShards(directory, entities["items"], "id", entity_schema(spec.item), target.shards),
        queries=pipeline
        | "Queries" >> _ReadShards(directory, entities["queries"], "id", entity_schema(spec.query), target.shards),
        counts=pipeline | "Counts" >> beam.Create([source.counts]),
        rejects=pipeline
        | "RejectFiles" >> beam.Create(names("rejects", ".jsonl.gz")).with_output_types(str)
        | "CopyRejects" >> beam.Map(_copy_rejects, directory, target),
        information=pipeline
        | "InformationFile" >> beam.Create(["mutual_information.json"])
        | "ReadInformation" >> beam.Map(_read_bytes, directory),
    )


class _ReadShards(beam.PTransform):
    """Parquet files -> (shard, all its rows)."""

    def __init__(self, directory: str, names: list[str], by: str, schema: pa.Schema, shards: int) -> None:
        super().__init__()
        self._directory, self._names, self._by, self._schema, self._shards = directory, names, by, schema, shards

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """Reads, and groups anew."""
        return (
            pipeline
            | "Files" >> beam.Create(self._names).with_output_types(str)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(_read_keyed, self._directory, self._by, self._shards).with_output_types(Keyed)
            | "Group" >> beam.GroupByKey()
            | "Concat" >> beam.Map(_concat, self._schema).with_output_types(Keyed)
        )


def _read_keyed(name: str, directory: str, by: str, shards: int) -> Iterable[Keyed]:
    with open_file(storage.join(directory, name)) as stream:
        return list(key_by_shard(pq.read_table(stream), by, shards))


def _concat(element: Grouped, schema: pa.Schema) -> Keyed:
    shard, tables = element
    return shard, pack(concat(tables, schema))


def _copy_rejects(name: str, directory: str, target: Target) -> Written:
    """Copies a file of rejects/, under the name that it has."""
    content = _read_bytes(name, directory)
    size, sha256 = write_file(target.directory, name, [content])
    lines = igzip.decompress(content).split(b"\n")[:-1]
    return Written("rejects", name, size, sha256, len(lines), digest_records(lines))


def _read_bytes(name: str, directory: str) -> bytes:
    with open_file(storage.join(directory, name)) as stream:
        return stream.read()
