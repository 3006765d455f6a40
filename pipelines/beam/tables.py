"""From the tables to the entities: items with their training counts, queries that have pairs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import apache_beam as beam

from features.pseudonyms import Pseudonyms
from features.spec.features import Side
from features.spec.spec import Spec
from pipelines.aggregation.batches import Batch
from pipelines.aggregation.input_files import InputFile, NamedFile
from pipelines.aggregation.packing import Keyed, key_by_shard, pack
from pipelines.aggregation.placement import heavy_queries
from pipelines.aggregation.tables import RawTable, cold_items, join_items, join_queries, sum_counted, validate_rows
from pipelines.beam.counting import COUNTS, REJECTS, count
from pipelines.beam.shuffle import CoGrouped
from pipelines.beam.sources import read_source
from stage.progress import counters

HEAVY = "heavy"
"""Tag of the output that carries heavy queries."""


@dataclass(frozen=True)
class ReadTable:
    """What reading a table gives."""

    entities: dict[str, beam.PCollection]
    """Side -> its entities, keyed by the shard of their id, counts 0, with their `place`."""
    rejects: beam.PCollection
    counts: beam.PCollection


def read_table(
    pipeline: beam.Pipeline, table: RawTable, *, files: list[InputFile], shards: int, pseudonyms: Pseudonyms
) -> ReadTable:
    """Reads the table of one or both sides.

    Args:
        pipeline: The job.
        table: The table.
        files: Its files.
        shards: How many shards each side is taken apart into.
        pseudonyms: Those of the log.
    """
    label = table.name.capitalize()
    batches = read_source(pipeline, label, files=files, columns=table.columns)
    validate = beam.FlatMap(_validate_rows, table, shards=shards, pseudonyms=pseudonyms)
    outputs = batches | f"Validate{label}" >> validate.with_outputs(REJECTS, COUNTS, *table.sides)
    return ReadTable({name: outputs[name] for name in table.sides}, outputs[REJECTS], outputs[COUNTS])


def _validate_rows(
    batch: Batch, table: RawTable, *, shards: int, pseudonyms: Pseudonyms
) -> Iterable[beam.pvalue.TaggedOutput]:
    valid = validate_rows(batch, table, pseudonyms=pseudonyms)
    counters.add(table.name, batch.lines)
    yield count(valid.counts)
    if valid.rejected.num_rows:
        yield beam.pvalue.TaggedOutput(REJECTS, pack(valid.rejected))
    for name, entities in valid.entities.items():
        for keyed in key_by_shard(entities, "id", shards=shards):
            yield beam.pvalue.TaggedOutput(name, keyed)


def items_of_shard(element: CoGrouped, side: Side, *, names: Mapping[int, NamedFile]) -> Iterable[Keyed]:
    """(shard, item rows and counts of their pairs) -> (shard, the items of the corpus)."""
    shard, found = element
    items = join_items(found["rows"], found["counts"], side=side, names=names)
    if items.num_rows:
        yield count(cold_items(items))
        yield shard, pack(items)


def queries_of_shard(element: CoGrouped, spec: Spec, *, names: Mapping[int, NamedFile]) -> Iterable[Keyed]:
    """(shard, query rows and counts of their pairs) -> (shard, the queries that have pairs), the heavy ones' ids aside.

    Without a row, a query is its id alone.
    """
    shard, found = element
    counts = sum_counted(found["counts"])
    yield beam.pvalue.TaggedOutput(HEAVY, pack(heavy_queries(counts, spec)))
    queries, without_row = join_queries(found["rows"], counts, spec=spec, names=names)
    if queries.num_rows:
        yield count(without_row)
        yield shard, pack(queries)
