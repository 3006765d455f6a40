"""The first half of the job, as `pipelines.build_dataset` draws it: pairs, entities, rejects, mutual information."""

from dataclasses import dataclass
from functools import partial

import apache_beam as beam
from apache_beam.pvalue import DoOutputsTuple

from pipelines.aggregation import kinds, steps
from pipelines.aggregation.output import write_rejects
from pipelines.aggregation.plan import Plan
from pipelines.aggregation.tables import RawTable, raw_tables
from pipelines.beam.counting import sum_counts
from pipelines.beam.log import merge_log, read_log
from pipelines.beam.mutual_information import compute_mutual_information
from pipelines.beam.sources import read_source
from pipelines.beam.steps import outputs, outputs_in_bundles


@dataclass(frozen=True)
class Aggregated:
    """What the second half of the job needs of raw logs and tables."""

    pairs: beam.PCollection
    """(any number, pairs), schema `pair_schema`; all of a (query, item) in one element."""
    items: beam.PCollection
    """(shard, all its items), schema `entity_schema`."""
    queries: beam.PCollection
    """(shard, all its queries that have pairs), schema `entity_schema`."""
    hot: beam.PCollection
    """(any number, hot queries), schema IDS."""
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
        pipeline,
        inputs.log,
        spec=spec,
        window=plan.window,
        shards=target.shards,
        pseudonyms=plan.pseudonyms,
        bounds=plan.bounds,
    )
    tables = {name: _read_table(pipeline, table, plan=plan) for name, table in raw_tables(spec).items()}
    query_rows = [table[kinds.QUERY_ROWS] for table in tables.values()]
    pairs, unknown_items, pair_counts = merge_log(log.lines, tables["items"][kinds.ITEM_IDS], plan=plan)
    count = partial(steps.count_pairs, shards=target.shards)
    counted = pairs | "CountPairs" >> outputs(count, kinds.ITEM_COUNTS, kinds.QUERY_COUNTS, kinds.COUNTS)
    make_items = partial(steps.make_items, side=spec.item, names=inputs.names)
    items = (
        {kinds.ITEM_ROWS: tables["items"][kinds.ITEM_ROWS], kinds.ITEM_COUNTS: counted[kinds.ITEM_COUNTS]}
        | "GroupItems" >> beam.CoGroupByKey()
        | "JoinItems" >> outputs(make_items, kinds.ITEMS, kinds.COUNTS)
    )
    make_queries = partial(steps.make_queries, spec=spec, names=inputs.names)
    queries = (
        {kinds.QUERY_ROWS: query_rows | "QueryRows" >> beam.Flatten(), kinds.QUERY_COUNTS: counted[kinds.QUERY_COUNTS]}
        | "GroupQueries" >> beam.CoGroupByKey()
        | "JoinQueries" >> outputs(make_queries, kinds.QUERIES, kinds.HOT, kinds.COUNTS)
    )
    made = (counted, items, queries, *tables.values())
    counts = (
        (*log.counts, *pair_counts, *(step[kinds.COUNTS] for step in made))
        | "AllCounts" >> beam.Flatten()
        | "SumCounts" >> sum_counts()
    )
    rejects = (
        (log.rejects, unknown_items, *(table[kinds.REJECTS] for table in tables.values()))
        | "AllRejects" >> beam.Flatten()
        | "GroupRejects" >> beam.GroupByKey()
        | "WriteRejects"
        >> beam.Map(write_rejects, target, names=inputs.names, keep_content=spec.sources.rejects == "content")
    )
    information = items[kinds.ITEMS] | "MutualInformation" >> compute_mutual_information(spec, shards=target.shards)
    return Aggregated(
        pairs, items[kinds.ITEMS], queries[kinds.QUERIES], queries[kinds.HOT], counts, rejects, information
    )


def _read_table(pipeline: beam.Pipeline, table: RawTable, *, plan: Plan) -> DoOutputsTuple:
    label = table.name.capitalize()
    validate = partial(steps.ValidateRows, table, pseudonyms=plan.pseudonyms, shards=plan.job.target.shards)
    batches = read_source(pipeline, label, files=plan.inputs.tables[table.name], columns=table.columns)
    return batches | f"Validate{label}" >> outputs_in_bundles(
        validate, kinds.ITEM_ROWS, kinds.QUERY_ROWS, kinds.ITEM_IDS, kinds.REJECTS, kinds.COUNTS
    )
