r"""The Spark job: raw logs and tables -> pairs, entities and mutual information.

log    -> lines -> pairs ---------------+-> pairs/
                     |  \-> queries ----+-> entities/
                     v                  |
tables -> items <- counts --------------+
            |-> mutual_information.json
"""

from collections import Counter
from collections.abc import Callable
from functools import partial, reduce

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession

from features.mutual_information import INFORMATION
from features.quantile_bounds import NUMBERS, quantile_bounds
from features.split import SPLITS
from pipelines.aggregation.counts import below, check_input, reconcile_lines, shown_counts, without_files
from pipelines.aggregation.input_files import ranges_of
from pipelines.aggregation.item_join import IDS
from pipelines.aggregation.job import Job
from pipelines.aggregation.log import caps_apart
from pipelines.aggregation.mutual_information import encode_information
from pipelines.aggregation.output import Written, sum_by_content, write_content, write_entities, write_pairs
from pipelines.aggregation.packing import Keyed, concat, pack
from pipelines.aggregation.partitions import lines_outside
from pipelines.aggregation.plan import Plan
from pipelines.aggregation.tables import raw_tables
from pipelines.spark import steps
from pipelines.spark.elements import collect, each_element, each_shard, only, read_each
from stage.errors import StageError, StorageError
from stage.manifest import Manifest
from stage.output import finish_output
from stage.progress import counters

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
    of_items = only(tables, steps.ITEM_ROWS).union(only(merged, steps.ITEM_COUNTS))
    items = _keep(each_shard(of_items, partial(steps.make_items, spec=spec, names=inputs.names)))
    of_queries = only(tables, steps.QUERY_ROWS).union(only(merged, steps.QUERY_COUNTS))
    queries = _keep(each_shard(of_queries, partial(steps.make_queries, spec=spec, names=inputs.names)))

    counts = Counter[str]()
    for frame in (tables, lines, merged, items, queries):
        found = steps.total_counts(collect(frame, steps.COUNTS))
        counts.update(found)
        _show(found)
    keep_content = spec.sources.rejects == "content"
    write_rejects = partial(steps.write_rejects, names=inputs.names, keep_content=keep_content, target=target)
    files = _write(each_shard(only(tables.union(lines).union(merged), steps.REJECTS), write_rejects))
    check_input(counts, spec, tables=inputs.tables, directory=target.directory, partitions=job.partitions)
    pairs = only(merged, steps.PAIRS)
    if caps_apart(spec):
        pairs = each_shard(pairs, steps.concat_pairs)
    files += _write_each(pairs, partial(write_pairs, target=target))
    for frame, table in ((items, steps.ITEMS), (queries, steps.QUERIES)):
        files += _write_each(only(frame, table), partial(write_entities, target=target, table=table))
    corpus = sum(written.records for written in files if written.content == "entities/items")
    information = _mutual_information(items, job, corpus=corpus)
    files.append(write_content(information, INFORMATION, content="mutual_information", target=target))
    told = without_files(counts) | lines_outside(counts, job.partitions)
    made = _manifest(job, files, counts=told)
    try:
        made.check_files(target.directory)
    except StorageError:
        raise
    except StageError as error:
        raise StageError(f"expected workers to write to --output as this machine sees it, but {error}") from None
    finish_output(target.directory, made)
    return made


def _read_tables(spark: SparkSession, plan: Plan) -> DataFrame:
    job = plan.job
    read_range = partial(
        steps.read_table_range, pseudonyms=plan.pseudonyms, shards=job.target.shards, item_join=job.item_join
    )
    read = [
        read_each(spark, ranges_of(plan.inputs.tables[name]), read=partial(read_range, table=table))
        for name, table in raw_tables(job.spec).items()
    ]
    return reduce(DataFrame.union, read)


def _read_log(spark: SparkSession, plan: Plan) -> DataFrame:
    job = plan.job
    read = partial(
        steps.read_log_range,
        spec=job.spec,
        window=plan.window,
        pseudonyms=plan.pseudonyms,
        shards=job.target.shards,
        item_join=job.item_join,
    )
    lines = _keep(read_each(spark, ranges_of(plan.inputs.log), read=read))
    if job.spec.session is None:
        return lines
    latest = partial(steps.latest_of_busy_users, spec=job.spec, shards=job.target.shards, item_join=job.item_join)
    return lines.union(_keep(each_shard(only(lines, steps.BUSY), latest)))


def _merge(spark: SparkSession, lines: DataFrame, *, tables: DataFrame, plan: Plan) -> DataFrame:
    spec, shards = plan.job.spec, plan.job.target.shards
    known = None
    grouped = only(lines, steps.LINES)
    if plan.job.item_join == "side_input":
        known = spark.sparkContext.broadcast(pack(concat(collect(tables, steps.ITEM_IDS), IDS)))
    else:
        wanted = only(tables, steps.ITEM_ROWS).union(only(lines, steps.WANTED))
        grouped = grouped.union(each_shard(wanted, steps.find_lacking))
    merge = partial(steps.merge, spec=spec, bounds=plan.bounds, known=known, shards=shards)
    merged = _keep(each_shard(grouped, merge))
    if not caps_apart(spec):
        return merged
    capped = each_shard(only(merged, steps.TO_CAP), partial(steps.cap, spec=spec, shards=shards))
    return merged.union(_keep(capped))


def _write_each(shards: DataFrame, write: Callable[[Keyed], Written]) -> list[Written]:
    return _write(each_element(shards, partial(steps.write_each, write=write)))


def _write(said: DataFrame) -> list[Written]:
    return steps.decode_written(collect(said, steps.WRITTEN))


def _mutual_information(items: DataFrame, job: Job, *, corpus: int) -> bytes:
    spec, shards = job.spec, job.target.shards
    numbers = concat(collect(items, steps.NUMBERS), NUMBERS)
    bounds = quantile_bounds(numbers, spec.mutual_information.numeric_buckets)
    count_block = partial(steps.count_block, spec=spec, bounds=bounds, shards=shards)
    blocks = each_element(only(items, steps.ITEMS), partial(steps.make_blocks, spec=spec, corpus=corpus))
    counted = _keep(each_shard(blocks, count_block))
    histograms = each_shard(only(counted, steps.VALUE_COUNTS), steps.make_histogram)
    return encode_information(collect(histograms.union(counted), steps.HISTOGRAMS), spec)


def _manifest(job: Job, files: list[Written], *, counts: dict[str, int]) -> Manifest:
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
        content=content,
        files=[written.as_file() for written in sorted(files, key=lambda w: w.name)],
    )


def _keep(frame: DataFrame) -> DataFrame:
    """Computes a frame once; what is lost with a worker is computed again, to the same result."""
    return frame.persist(StorageLevel.DISK_ONLY)


def _show(counts: Counter[str]) -> None:
    for name, shown in (("lines/read", "lines"), ("pairs/train", "training pairs")):
        if counts[name]:
            counters.add(shown, counts[name])
