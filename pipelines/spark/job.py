"""The Spark job: what `pipelines.build_dataset` draws, up to pairs, entities and mutual information."""

from collections import Counter
from collections.abc import Callable
from functools import partial, reduce
from typing import TypeVar

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession

from features.mutual_information import INFORMATION
from features.quantile_bounds import NUMBERS, quantile_bounds
from features.split import SPLITS
from pipelines.aggregation import kinds, steps
from pipelines.aggregation.counts import below, ids_to_compare, reconcile_lines, shown_counts, without_files
from pipelines.aggregation.elements import decode_counts
from pipelines.aggregation.input_checks import check_input
from pipelines.aggregation.input_files import ranges_of
from pipelines.aggregation.item_join import IDS, lacking_items, want_items
from pipelines.aggregation.job import Job
from pipelines.aggregation.lines_to_shuffle import latest_of_busy
from pipelines.aggregation.log import log_columns
from pipelines.aggregation.merging import caps_apart
from pipelines.aggregation.mutual_information import encode_information, histogram_of, key_by_block, numbers_of_items
from pipelines.aggregation.output import (
    Written,
    sum_by_content,
    write_content,
    write_entities,
    write_pairs,
    write_rejects,
)
from pipelines.aggregation.packing import concat, pack
from pipelines.aggregation.partition_lines import lines_outside
from pipelines.aggregation.plan import Plan
from pipelines.aggregation.tables import raw_tables
from pipelines.spark import tasks
from pipelines.spark.elements import (
    Elements,
    collect,
    each_element,
    each_shard,
    each_shard_of,
    giving,
    only,
    read_each,
    then,
    whole,
)
from stage.errors import StageError, StorageError
from stage.manifest import IdsToCompare, Manifest
from stage.output import finish_output
from stage.progress import counters

T = TypeVar("T")
CONTENTS = ("pairs", "entities/items", "entities/queries", "rejects")


def aggregate(spark: SparkSession, plan: Plan) -> Manifest:
    """Runs the whole job; the manifest is written last.

    Raises:
        StageError: If the input isn't good enough.
    """
    job, inputs = plan.job, plan.inputs
    spec, target = job.spec, job.target
    # Spark's own default, 200, is too many for a small log and too few for a large one.
    spark.conf.set("spark.sql.shuffle.partitions", max(target.shards, 2))

    tables = _keep(_read_tables(spark, plan))
    lines = _read_log(spark, plan)
    merged = _merge(spark, lines, tables=tables, plan=plan)
    make_items = then(
        whole(partial(steps.make_items, side=spec.item, names=inputs.names)),
        kinds.ITEMS,
        more=giving(kinds.NUMBERS, partial(numbers_of_items, side=spec.item)),
    )
    of_items = only(tables, kinds.ITEM_ROWS).union(only(merged, kinds.ITEM_COUNTS))
    items = _keep(each_shard(of_items, make_items))
    of_queries = only(tables, kinds.QUERY_ROWS).union(only(merged, kinds.QUERY_COUNTS))
    queries = _keep(each_shard(of_queries, partial(steps.make_queries, spec=spec, names=inputs.names)))

    counts = Counter[str]()
    for frame in (tables, lines, merged, items, queries):
        found = Counter[str]()
        for said in collect(frame, kinds.COUNTS):
            found.update(decode_counts(said))
        counts.update(found)
        _show(found)
    keep_content = spec.sources.rejects == "content"
    write = tasks.saying(partial(write_rejects, target=target, names=inputs.names, keep_content=keep_content))
    files = _written(each_shard_of(tables.union(lines).union(merged), kinds.REJECTS, work=write))
    check_input(counts, job)
    pairs = only(merged, kinds.PAIRS)
    if caps_apart(spec):
        pairs = each_shard_of(merged, kinds.PAIRS, work=giving(kinds.PAIRS, tasks.concat_pairs))
    files += _written(each_element(pairs, kinds.PAIRS, work=tasks.saying(partial(write_pairs, target=target))))
    for frame, table in ((items, kinds.ITEMS), (queries, kinds.QUERIES)):
        write = tasks.saying(partial(write_entities, target=target, table=table))
        files += _written(each_element(frame, table, work=write))
    corpus = sum(written.file.records or 0 for written in files if written.content == "entities/items")
    information = _mutual_information(items, job, corpus=corpus)
    files.append(write_content(information, INFORMATION, content="mutual_information", target=target))
    told = without_files(counts) | lines_outside(counts, job.partitions)
    made = _manifest(job, files, counts=told, ids=ids_to_compare(counts))
    try:
        made.check_files(target.directory)
    except StorageError:
        raise
    except StageError as error:
        raise StageError(f"expected workers to write to --output as this machine sees it, but {error}") from None
    finish_output(target.directory, made)
    return made


def _read_tables(spark: SparkSession, plan: Plan) -> DataFrame:
    validate = partial(steps.ValidateRows, pseudonyms=plan.pseudonyms, shards=plan.job.target.shards)
    read = [
        read_each(
            spark,
            ranges_of(plan.inputs.tables[name]),
            read=partial(tasks.read_range, columns=table.columns, begin=partial(validate, table)),
        )
        for name, table in raw_tables(plan.job.spec).items()
    ]
    return reduce(DataFrame.union, read)


def _read_log(spark: SparkSession, plan: Plan) -> DataFrame:
    spec, shards = plan.job.spec, plan.job.target.shards
    validate = partial(
        steps.ValidateLines,
        spec,
        window=plan.window,
        pseudonyms=plan.pseudonyms,
        shards=shards,
        bounds=plan.bounds,
    )
    read = partial(tasks.read_range, columns=log_columns(spec), begin=validate)
    lines = _keep(read_each(spark, ranges_of(plan.inputs.log), read=_wanting(read, plan.job)))
    if spec.session is None:
        return lines
    latest = partial(latest_of_busy, spec=spec, shards=shards)
    return lines.union(_keep(each_shard_of(lines, kinds.BUSY, work=_wanting(latest, plan.job))))


def _wanting(work: Callable[[T], Elements], job: Job) -> Callable[[T], Elements]:
    if job.item_join == "side_input":
        return work
    return then(work, kinds.LINES, more=giving(kinds.WANTED, partial(want_items, shards=job.target.shards)))


def _merge(spark: SparkSession, lines: DataFrame, *, tables: DataFrame, plan: Plan) -> DataFrame:
    spec, shards = plan.job.spec, plan.job.target.shards
    known = None
    grouped = only(lines, kinds.LINES)
    if plan.job.item_join == "side_input":
        known = spark.sparkContext.broadcast(pack(concat(collect(tables, kinds.ITEM_IDS), IDS)))
    else:
        wanted = only(tables, kinds.ITEM_IDS).union(only(lines, kinds.WANTED))
        grouped = grouped.union(each_shard(wanted, giving(kinds.LACKING, lacking_items)))
    count = partial(steps.count_pairs, shards=shards)
    merge = partial(tasks.merge, spec=spec, bounds=plan.bounds, shards=shards, known=known)
    merged = _keep(each_shard(grouped, then(whole(merge), kinds.PAIRS, more=count)))
    if not caps_apart(spec):
        return merged
    cap = then(whole(partial(steps.cap, spec=spec)), kinds.PAIRS, more=count)
    return merged.union(_keep(each_shard_of(merged, kinds.TO_CAP, work=cap)))


def _written(said: DataFrame) -> list[Written]:
    return tasks.decode_written(collect(said, tasks.WRITTEN))


def _mutual_information(items: DataFrame, job: Job, *, corpus: int) -> bytes:
    spec, shards = job.spec, job.target.shards
    numbers = concat(collect(items, kinds.NUMBERS), NUMBERS)
    bounds = quantile_bounds(numbers, spec.mutual_information.numeric_buckets)
    key = giving(kinds.BLOCKS, partial(key_by_block, spec=spec, corpus=corpus))
    blocks = each_element(items, kinds.ITEMS, work=key)
    count = partial(tasks.count_block, spec=spec, bounds=bounds, shards=shards)
    counted = _keep(each_shard_of(blocks, kinds.BLOCKS, work=count))
    histograms = each_shard_of(counted, kinds.VALUE_COUNTS, work=giving(kinds.HISTOGRAMS, histogram_of))
    return encode_information(collect(histograms.union(counted), kinds.HISTOGRAMS), spec)


def _manifest(job: Job, files: list[Written], *, counts: dict[str, int], ids: dict[str, IdsToCompare]) -> Manifest:
    """What the manifest says.

    Raises:
        StageError: If the counts don't add up: then the job is wrong, and its output must not be used.
    """
    content, records = sum_by_content(files, CONTENTS)
    found = shown_counts(counts)
    reconcile_lines(found)
    kept = sum(counts.get(f"pairs/{split}", 0) for split in SPLITS)
    found["pairs"] = records["pairs"]
    found["items"] = records["entities/items"]
    found["queries"] = records["entities/queries"]
    found["shards"] = job.target.shards
    if kept > found["pairs"]:
        raise StageError(f"the job lost pairs: expected {kept}, wrote {found['pairs']}; please report this")
    return Manifest(
        stage="aggregate",
        **job.as_manifests_say(),
        counts=found,
        rejected=below("rejected", counts),
        ids_to_compare=ids,
        content=content,
        files=sorted((written.file for written in files), key=lambda file: file.name),
    )


def _keep(frame: DataFrame) -> DataFrame:
    """Computes a frame once; what is lost with a worker is computed again, to the same result."""
    return frame.persist(StorageLevel.DISK_ONLY)


def _show(counts: Counter[str]) -> None:
    for name, shown in (("lines/read", "lines"), ("pairs/train", "training pairs")):
        if counts[name]:
            counters.add(shown, counts[name])
