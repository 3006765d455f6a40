r"""The first half of the job: raw logs and tables -> pairs, entities, rejects and mutual information.

log    -> lines -> pairs
                     |  \-> queries
                     v
tables -> items <- counts
            |-> mutual information
"""

from dataclasses import dataclass

import apache_beam as beam

from pipelines.aggregation.output import shard_of_rejects, write_rejects
from pipelines.aggregation.packing import Keyed, Packed, unpack
from pipelines.aggregation.plan import Plan
from pipelines.aggregation.tables import raw_tables
from pipelines.beam.counting import COUNTS, sum_counts
from pipelines.beam.log import count_pairs, merge_log, read_log
from pipelines.beam.mutual_information import ComputeMutualInformation
from pipelines.beam.tables import HEAVY, ReadTable, items_of_shard, queries_of_shard, read_table


@dataclass(frozen=True)
class Aggregated:
    """What the second half of the job needs of raw logs and tables."""

    pairs: beam.PCollection
    """(any number, pairs), schema `pair_schema`; all of a (query, item) in one element."""
    items: beam.PCollection
    """(shard, all its items), schema `entity_schema`."""
    queries: beam.PCollection
    """(shard, all its queries that have pairs), schema `entity_schema`."""
    heavy: beam.PCollection
    """Heavy queries, schema IDS."""
    counts: beam.PCollection
    """One mapping of name -> count."""
    rejects: beam.PCollection
    """What was written to rejects/."""
    information: beam.PCollection
    """The bytes of mutual_information.json."""


def aggregate(pipeline: beam.Pipeline, plan: Plan) -> Aggregated:
    """Reads, merges, joins and counts."""
    spec, target, inputs = plan.job.spec, plan.job.target, plan.inputs

    log = read_log(
        pipeline, inputs.log, spec=spec, window=plan.window, shards=target.shards, pseudonyms=plan.pseudonyms
    )
    tables = {
        name: read_table(pipeline, table, files=inputs.tables[name], shards=target.shards, pseudonyms=plan.pseudonyms)
        for name, table in raw_tables(spec).items()
    }
    item_rows = tables["items"].entities["item"]
    query_rows = _query_rows(pipeline, tables)

    pairs, unknown_items, pair_counts = merge_log(log.lines, item_rows, plan=plan)
    counted = pairs | "CountPairs" >> beam.FlatMap(count_pairs, target.shards).with_outputs(COUNTS, "item", "query")
    joined = (
        {"rows": item_rows, "counts": counted["item"]}
        | "GroupItems" >> beam.CoGroupByKey()
        | "JoinItems" >> beam.FlatMap(items_of_shard, spec.item, names=inputs.names).with_outputs(COUNTS, main="items")
    )
    items = joined["items"]
    asked = (
        {"rows": query_rows, "counts": counted["query"]}
        | "GroupQueries" >> beam.CoGroupByKey()
        | "JoinQueries"
        >> beam.FlatMap(queries_of_shard, spec, names=inputs.names).with_outputs(HEAVY, COUNTS, main="queries")
    )

    counts = (
        (
            *(*log.counts, *pair_counts, counted[COUNTS], joined[COUNTS], asked[COUNTS]),
            *(table.counts for table in tables.values()),
        )
        | "AllCounts" >> beam.Flatten()
        | "SumCounts" >> sum_counts()
    )
    rejects = (
        (log.rejects, unknown_items, *(table.rejects for table in tables.values()))
        | "AllRejects" >> beam.Flatten()
        | "KeyRejects" >> beam.Map(_key_rejects, target.shards).with_output_types(Keyed)
        | "GroupRejects" >> beam.GroupByKey()
        | "WriteRejects"
        >> beam.Map(write_rejects, target, names=inputs.names, keep_content=spec.sources.rejects == "content")
    )
    information = items | "MutualInformation" >> ComputeMutualInformation(spec, target.shards)
    return Aggregated(pairs, items, asked["queries"], asked[HEAVY], counts, rejects, information)


def _query_rows(pipeline: beam.Pipeline, tables: dict[str, ReadTable]) -> beam.PCollection:
    for table in tables.values():
        if "query" in table.entities:
            return table.entities["query"]
    return pipeline | "NoQueryTable" >> beam.Create([]).with_output_types(Keyed)


def _key_rejects(rejects: Packed, shards: int) -> Keyed:
    return shard_of_rejects(unpack(rejects), shards), rejects
