"""`ssl-two-tower recommend-all`: the items that an export recommends for each of many queries, as Parquet files."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.dataset import Dataset
from model.options.recommend_all import make_parser
from model.ranking.known_items import KnownItems, read_known_items
from model.ranking.left_out import leaves_out_self
from model.serving.query_rows import QueryRows, check_file, read_queries, stored_queries
from model.serving.retriever import QUERIES, Recommendation, Retriever
from stage import storage
from stage.command_line import run_process
from stage.errors import UsageError
from stage.globs import matching_files
from stage.manifest import Manifest, describe_files, digest, new_run_id
from stage.output import check_own, finish_output, refuse_within, start_output
from stage.parquet import read_parquet
from stage.progress import bar

SCHEMA = pa.schema([("query_id", pa.string()), ("rank", pa.int32()), ("item_id", pa.string()), ("score", pa.float32())])
"""A row for each query and item, best first; the first rank is 1."""
ITEMS = "items"
"""The folder of the output that holds such files alone, so that it can be read as a directory of Parquet."""
WITHOUT_HISTORY = "queries/without_history"
WITHOUT_KNOWN = "queries/without_known"
NOTHING_KNOWN = "queries/nothing_known"
LEFT_OUT_AT_ONCE = 1 << 20
"""Lists of ids to leave out are padded to the longest, so beside a query that has many items fewer are asked for."""


def main(argv: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        StageError: If the export or the dataset isn't whole, no file has the queries that are named, or the output
            can't be used or written.
        UsageError: If an option is wrong, or there are no queries to ask with.
    """
    options = make_parser().parse_args(argv)
    known = Dataset.open(options.known, verify=options.verify) if options.known is not None else None
    retriever = Retriever.open(options.export, verify=options.verify)
    made = recommend_all(
        retriever,
        queries=_files_of_queries(options.queries, retriever),
        known=known,
        output=options.output,
        top_k=options.top_k,
        overwrite=options.overwrite,
    )
    without_known = made.counts.get(WITHOUT_KNOWN, 0)
    if without_known and without_known == made.counts["queries"]:
        print(
            f"warning: none of these queries has a pair in {options.known}, so nothing was left out; expected a "
            "dataset of the same ids, written alike, and of the same pseudonyms",
            file=sys.stderr,
        )
    if options.json:
        print(json.dumps({"counts": made.counts}))
        return
    print(f"{made.counts['queries']:,} queries, {made.counts['recommendations']:,} recommendations")
    if left_out := made.counts.get(WITHOUT_HISTORY):
        print(f"{left_out:,} more queries have no history of this export's items, so nothing is recommended")
    if without_known:
        print(f"{without_known:,} of the queries have no pair in {options.known}, so nothing is left out for them")
    if nothing_known := made.counts.get(NOTHING_KNOWN):
        print(f"{nothing_known:,} of the queries are unknown to the model, so they get what all such get")
    print(f"written: {storage.join(options.output, ITEMS)}")


def _files_of_queries(pattern: str | None, retriever: Retriever) -> list[str] | None:
    """The files that `--queries` names; None: the export's own."""
    if pattern is not None:
        return matching_files(pattern, option="--queries")
    if retriever.spec.session is not None:
        raise UsageError(
            "--queries: expected files of queries with their histories, since this export is of session mode"
        )
    if not retriever.manifest.names(QUERIES, ".parquet"):
        raise UsageError(
            f"--export: {retriever.directory} was made without queries (export.queries: false); pass --queries"
        )
    return None


def recommend_all(
    retriever: Retriever,
    *,
    queries: Sequence[str] | None,
    known: Dataset | None,
    output: str,
    top_k: int | None,
    overwrite: bool = False,
) -> Manifest:
    """Writes a file of recommendations for each file of queries.

    Args:
        retriever: The export.
        queries: Files that `check_file` takes; None: the export's own, which isn't of session mode.
        known: The dataset whose pairs are left out; None: nothing is.
        output: Where to; on local disk or gs://.
        top_k: Items for each query; None: `export.top_k`. A query with fewer left gets fewer.
        overwrite: Make finished recommendations again.

    Returns:
        The manifest that was written last.

    Raises:
        StageError: If the dataset or a file of queries can't be read, or the output can't be used or written.
    """
    refuse_within(output, *queries or (), named="--queries")
    for path in queries or ():
        check_file(retriever, path)
    run_id = new_run_id()
    start_output(output, "recommendations", run_id=run_id, overwrite=overwrite)
    known_items = read_known_items(known) if known is not None else None
    asked = list(queries or retriever.manifest.names(QUERIES, ".parquet"))
    counts = Counter({"queries": 0, "recommendations": 0})
    with bar(total=None, unit="queries", description="recommend-all") as shown:
        for number, name in enumerate(asked):
            if queries is None:
                rows = stored_queries(retriever, read_parquet(storage.join(retriever.directory, name)))
            else:
                rows = read_queries(retriever, name)
            tables = recommend_each(
                retriever, rows, known=known_items, top_k=top_k, counts=counts, advance=shown.update
            )
            path = storage.join(output, ITEMS, f"{run_id}-{number:05d}-of-{len(asked):05d}.parquet")
            own = partial(check_own, output, run_id=run_id)
            storage.write_file(path, partial(_write, tables=tables, counts=counts, own=own))
    made = Manifest(
        stage="recommendations",
        run_id=run_id,
        spec=retriever.manifest.spec,
        spec_digest=retriever.manifest.spec_digest,
        inputs={
            "export": retriever.manifest.content_digest,
            **({"known": known.manifest.content_digest} if known is not None else {}),
            **({"queries": digest(list(map(storage.sha256, queries)))} if queries is not None else {}),
        },
        job_options={**retriever.manifest.job_options, "export": storage.absolute(retriever.directory)},
        counts=dict(counts),
        files=describe_files(output),
    )
    finish_output(output, made)
    return made


def recommend_each(
    retriever: Retriever,
    queries: Iterable[QueryRows],
    *,
    known: KnownItems | None,
    top_k: int | None,
    counts: Counter[str],
    advance: Callable[[int], object],
) -> Iterator[pa.Table]:
    """The recommendations for some queries, schema `SCHEMA`, some at a time.

    Args:
        retriever: The export.
        queries: What to ask with.
        known: What is left out; None: nothing is.
        top_k: As `recommend_all`.
        counts: The queries are added, those without a known pair, those of which the model knows nothing, and those
            that can't be asked with.
        advance: Called with how many more are done.
    """
    without_self = leaves_out_self(retriever.spec, retriever.spec.evaluate)
    for ids, tensors, without_history in queries:
        counts["queries"] += len(ids)
        if without_history:
            counts[WITHOUT_HISTORY] += without_history
        left_out: list[list[str]] = [[] for _ in ids]
        if known is not None:
            left_out = known.of(ids)
            counts[WITHOUT_KNOWN] += sum(not items for items in left_out)
        if without_self:
            left_out = [[*items, own] for items, own in zip(left_out, ids, strict=True)]
        step = max(1, LEFT_OUT_AT_ONCE // max([1, *map(len, left_out)]))
        for some in (slice(begin, begin + step) for begin in range(0, len(ids), step)):
            asked = {name: tensor[some] for name, tensor in tensors.items()}
            embeddings = retriever.embed_tensors(asked, "query")
            if nothing_known := sum(retriever.nothing_known(embeddings, "query")):
                counts[NOTHING_KNOWN] += nothing_known
            found = retriever.recommend_all_of(embeddings, exclude=left_out[some], top_k=top_k)
            yield _as_table(ids[some], found)
            advance(len(found))


def _as_table(query_ids: list[str], found: list[list[Recommendation]]) -> pa.Table:
    sizes = [len(items) for items in found]
    places = pa.array(np.repeat(np.arange(len(sizes)), sizes))
    ranks = [rank for size in sizes for rank in range(1, size + 1)]
    flat = [one for items in found for one in items]
    columns = [[one.item_id for one in flat], [one.score for one in flat]]
    return pa.table([pa.array(query_ids, pa.string()).take(places), ranks, *columns], schema=SCHEMA)


def _write(file: IO[bytes], *, tables: Iterator[pa.Table], counts: Counter[str], own: Callable[[], None]) -> None:
    with pq.ParquetWriter(pa.PythonFile(file, "w"), SCHEMA, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)
            counts["recommendations"] += table.num_rows
    own()  # last, or what took long would appear among the files of a run that took over meanwhile


if __name__ == "__main__":
    run_process(main)
