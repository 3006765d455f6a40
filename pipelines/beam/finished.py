"""A finished aggregate in place of raw logs and tables, as collections."""

from collections.abc import Iterable

import apache_beam as beam
import pyarrow as pa
from isal import igzip

from features.dataset import entity_files
from features.entities import entity_schema
from features.mutual_information import INFORMATION
from features.records import digest_records
from features.sessions import pair_schema
from features.spec.spec import Spec
from pipelines.aggregation.elements import Grouped
from pipelines.aggregation.finished import FinishedAggregate
from pipelines.aggregation.merging import counts_by
from pipelines.aggregation.output import Target, Written
from pipelines.aggregation.packing import Keyed, concat, key_by_shard, pack, unpack
from pipelines.aggregation.placement import hot_queries
from pipelines.aggregation.tables import sum_counted
from pipelines.beam.aggregate import Aggregated
from stage import storage
from stage.manifest import File
from stage.output import write_file
from stage.parquet import read_parquet


def read_aggregate(pipeline: beam.Pipeline, source: FinishedAggregate) -> Aggregated:
    """Reads what aggregate-spark left; the shards are made anew, so they may be more or fewer."""
    spec, target, directory = source.job.spec, source.job.target, source.directory
    names = source.manifest.names
    items, queries = entity_files(source.manifest, "items"), entity_files(source.manifest, "queries")
    pairs = (
        pipeline
        | "PairFiles" >> beam.Create([*enumerate(names("pairs", ".parquet"))]).with_output_types(tuple[int, str])
        | "SpreadPairFiles" >> beam.Reshuffle()
        | "ReadPairs" >> beam.Map(_read_pairs, directory, schema=pair_schema(spec))
    )
    hot = (
        pairs
        | "CountByQuery" >> beam.FlatMap(_count_by_query, target.shards)
        | "GroupCounts" >> beam.GroupByKey()
        | "HotQueries" >> beam.Map(_hot, spec)
    )
    return Aggregated(
        pairs=pairs,
        items=pipeline
        | "Items" >> _ReadShards(directory, items, schema=entity_schema(spec.item), shards=target.shards),
        queries=pipeline
        | "Queries" >> _ReadShards(directory, queries, schema=entity_schema(spec.query), shards=target.shards),
        hot=hot,
        counts=pipeline | "Counts" >> beam.Create([source.counts]),
        rejects=pipeline
        | "RejectFiles" >> beam.Create(names("rejects", ".jsonl.gz")).with_output_types(str)
        | "CopyRejects" >> beam.Map(_copy_rejects, directory, target=target),
        information=pipeline
        | "InformationFile" >> beam.Create([storage.join(directory, INFORMATION)])
        | "ReadInformation" >> beam.Map(storage.read_bytes),
    )


class _ReadShards(beam.PTransform):
    """Parquet files -> (shard, all its rows)."""

    def __init__(self, directory: str, files: list[File], *, schema: pa.Schema, shards: int) -> None:
        super().__init__()
        self._directory, self._files, self._schema, self._shards = directory, files, schema, shards

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """Reads, and groups anew."""
        return (
            pipeline
            | "Files" >> beam.Create([file.name for file in self._files]).with_output_types(str)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(_read_keyed, self._directory, shards=self._shards)
            | "Group" >> beam.GroupByKey()
            | "Concat" >> beam.Map(_concat, self._schema)
        )


def _read_keyed(name: str, directory: str, *, shards: int) -> Iterable[Keyed]:
    return key_by_shard(read_parquet(storage.join(directory, name)), "id", shards=shards)


def _read_pairs(numbered: tuple[int, str], directory: str, *, schema: pa.Schema) -> Keyed:
    """A file's pairs, by its number, so that what is counted of files comes together in several parts."""
    number, name = numbered
    return number, pack(read_parquet(storage.join(directory, name), columns=schema.names))


def _count_by_query(element: Keyed, shards: int) -> Iterable[Keyed]:
    return counts_by("query_id", unpack(element[1]), shards=shards)


def _hot(element: Grouped, spec: Spec) -> Keyed:
    return element[0], pack(hot_queries(sum_counted(element[1]), spec))


def _concat(element: Grouped, schema: pa.Schema) -> Keyed:
    shard, tables = element
    return shard, pack(concat(tables, schema))


def _copy_rejects(name: str, directory: str, *, target: Target) -> Written:
    """Copies a file of rejects/, under the name that it has."""
    content = storage.read_bytes(storage.join(directory, name))
    lines = igzip.decompress(content).split(b"\n")[:-1]
    file = write_file(target.directory, name, chunks=[content], records=len(lines))
    return Written("rejects", file, digest_records(lines))
