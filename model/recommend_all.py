"""`ssl-two-tower recommend-all`: the items that an export recommends for each of its queries, as Parquet files."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.dataset import Dataset
from model.known_items import KnownItems, read_known_items
from model.options.recommend_all import make_parser
from model.retriever import QUERIES, Recommendation, Retriever
from stage import storage
from stage.command_line import run_command
from stage.errors import UsageError
from stage.manifest import Manifest, describe_files, new_run_id
from stage.output import check_own, finish_output, start_output
from stage.parquet import read_parquet
from stage.progress import bar

SCHEMA = pa.schema([("query_id", pa.string()), ("rank", pa.int32()), ("item_id", pa.string()), ("score", pa.float32())])
"""A row for each query and item, best first; the first rank is 1."""
QUERIES_AT_ONCE = 1024
LEFT_OUT_AT_ONCE = 1 << 20
"""Lists of ids to leave out are padded to the longest, so beside a query that has many items fewer are asked for."""


def main(argv: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        StageError: If the export or the dataset isn't whole, or the output can't be used or written.
        UsageError: If an option is wrong, or the export carries no queries, or those of session mode.
    """
    options = make_parser().parse_args(argv)
    known = Dataset.open(options.known, verify=options.verify) if options.known is not None else None
    retriever = Retriever.open(options.export, verify=options.verify)
    if retriever.spec.session is not None:
        raise UsageError(
            "--export: expected one whose queries need no history, got one of session mode; recommend takes --history"
        )
    if not retriever.manifest.names(QUERIES, ".parquet"):
        raise UsageError(f"--export: {retriever.directory} was made without queries (export.queries: false)")
    made = recommend_all(
        retriever, known=known, output=options.output, top_k=options.top_k, overwrite=options.overwrite
    )
    if options.json:
        print(json.dumps({"counts": made.counts}))
        return
    print(f"{made.counts['queries']:,} queries, {made.counts['recommendations']:,} recommendations")
    print(f"written: {options.output}")


def recommend_all(
    retriever: Retriever, *, known: Dataset | None, output: str, top_k: int | None, overwrite: bool = False
) -> Manifest:
    """Writes a file of recommendations for each file of the export's queries.

    Args:
        retriever: The export, not of session mode.
        known: The dataset whose pairs are left out; None: nothing is.
        output: Where to; on local disk or gs://.
        top_k: Items for each query; None: `export.top_k`. A query with fewer left gets fewer.
        overwrite: Make finished recommendations again.

    Returns:
        The manifest that was written last.

    Raises:
        StageError: If the dataset can't be read, or the output can't be used or written.
    """
    run_id = new_run_id()
    start_output(output, "recommendations", run_id=run_id, overwrite=overwrite)
    known_items = read_known_items(known) if known is not None else None
    names = retriever.manifest.names(QUERIES, ".parquet")
    counts = {"queries": 0, "recommendations": 0}
    with bar(total=None, unit="queries", description="recommend-all") as shown:
        for number, name in enumerate(names):
            queries = read_parquet(storage.join(retriever.directory, name))
            tables = recommend_each(retriever, queries, known=known_items, top_k=top_k, advance=shown.update)
            path = storage.join(output, f"recommendations-{run_id}-{number:05d}-of-{len(names):05d}.parquet")
            own = partial(check_own, output, run_id=run_id)
            storage.write_file(path, partial(_write, tables=tables, counts=counts, own=own))
            counts["queries"] += queries.num_rows
    made = Manifest(
        stage="recommendations",
        run_id=run_id,
        spec=retriever.manifest.spec,
        spec_digest=retriever.manifest.spec_digest,
        inputs={
            "export": retriever.manifest.content_digest,
            **({"known": known.manifest.content_digest} if known is not None else {}),
        },
        job_options={**retriever.manifest.job_options, "export": storage.absolute(retriever.directory)},
        counts=counts,
        files=describe_files(output),
    )
    finish_output(output, made)
    return made


def recommend_each(
    retriever: Retriever,
    queries: pa.Table,
    *,
    known: KnownItems | None,
    top_k: int | None,
    advance: Callable[[int], object],
) -> Iterator[pa.Table]:
    """The recommendations for some of the export's queries, schema `SCHEMA`, some at a time.

    Args:
        retriever: The export.
        queries: Rows of its files of queries.
        known: What is left out; None: nothing is.
        top_k: As `recommend_all`.
        advance: Called with how many more are done.
    """
    leaves_out_self = retriever.spec.sources.queries == "items" and retriever.spec.evaluate.exclude_self
    for start in range(0, queries.num_rows, QUERIES_AT_ONCE):
        rows = queries.slice(start, QUERIES_AT_ONCE).to_pylist()
        ids = [row["id"] for row in rows]
        left_out = known.of(ids) if known is not None else [[] for _ in ids]
        if leaves_out_self:
            left_out = [[*items, own] for items, own in zip(left_out, ids, strict=True)]
        step = max(1, LEFT_OUT_AT_ONCE // max(1, *map(len, left_out)))
        for some in (slice(begin, begin + step) for begin in range(0, len(rows), step)):
            features = [retriever.features_of(row) for row in rows[some]]
            found = retriever.recommend_all(features, exclude=left_out[some], top_k=top_k)
            yield _as_table(ids[some], found)
            advance(len(found))


def _as_table(query_ids: list[str], found: list[list[Recommendation]]) -> pa.Table:
    sizes = [len(items) for items in found]
    places = pa.array(np.repeat(np.arange(len(sizes)), sizes))
    ranks = [rank for size in sizes for rank in range(1, size + 1)]
    flat = [one for items in found for one in items]
    columns = [[one.item_id for one in flat], [one.score for one in flat]]
    return pa.table([pa.array(query_ids, pa.string()).take(places), ranks, *columns], schema=SCHEMA)


def _write(file: IO[bytes], *, tables: Iterator[pa.Table], counts: dict[str, int], own: Callable[[], None]) -> None:
    with pq.ParquetWriter(pa.PythonFile(file, "w"), SCHEMA, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)
            counts["recommendations"] += table.num_rows
    own()  # last, or what took long would appear among the files of a run that took over meanwhile


if __name__ == "__main__":
    sys.exit(run_command(main))
