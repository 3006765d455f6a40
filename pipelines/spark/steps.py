"""What the job's tasks do: read ranges, merge shards, join entities, count, and write."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict

import pyarrow as pa

from features.interactions import Window, raw_columns
from features.joint_counts import NUMBERS as NUMBER_ROWS
from features.joint_counts import count_numbers, quantile_bounds
from features.pairs import GROUPED_LINES
from features.pseudonyms import Pseudonyms
from features.spec import Spec
from features.split import TimeBounds
from pipelines.aggregation.corpus import key_by_block
from pipelines.aggregation.input_files import FileRange
from pipelines.aggregation.log import LinesToShuffle, counts_by_item, merge_shard, validate_batch
from pipelines.aggregation.output import Written
from pipelines.aggregation.packing import Packed, concat, key_by_shard, pack
from pipelines.aggregation.reading import read_batches
from pipelines.aggregation.tables import RawTable, cold_items, join_items, join_queries, validate_rows
from pipelines.spark.elements import Element, of_kind
from stage import storage

COUNTS, REJECTS, WRITTEN = "counts", "rejects", "written"
LINES, ITEM_ROWS, QUERY_ROWS, ITEM_IDS = "lines", "item", "query", "item_ids"
PAIRS, ITEM_COUNTS, ITEMS, QUERIES = "pairs", "item_counts", "items", "queries"
NUMBERS, BLOCKS, VALUE_COUNTS, HISTOGRAMS = "numbers", "blocks", "value_counts", "histograms"

_IDS = pa.schema([("id", pa.string())])


def read_log_range(
    element: FileRange, spec: Spec, *, window: Window, pseudonyms: Pseudonyms, shards: int
) -> Iterator[Element]:
    """A range of the log -> LINES by the shard of the query, REJECTS, COUNTS."""
    source = spec.sources.interactions
    columns = raw_columns(source)
    lines, counts = LinesToShuffle(shards), Counter[str]()
    for batch in read_batches(
        element, columns, required=columns.names, time=source.timestamp, open_file=storage.open_input
    ):
        valid = validate_batch(batch, spec, window=window, pseudonyms=pseudonyms)
        counts.update(valid.counts)
        yield from _rejects(valid.rejected, shards)
        yield from of_kind(LINES, lines.add(valid.lines))
    yield from of_kind(LINES, lines.flush())
    yield _counts(counts)


def read_table_range(element: FileRange, table: RawTable, *, pseudonyms: Pseudonyms, shards: int) -> Iterator[Element]:
    """A range of a table -> ITEM_ROWS and QUERY_ROWS by the shard of the id, ITEM_IDS, REJECTS, COUNTS."""
    counts = Counter[str]()
    for batch in read_batches(element, table.columns, required=[table.source.id], open_file=storage.open_input):
        valid = validate_rows(batch, table, pseudonyms)
        counts.update(valid.counts)
        yield from _rejects(valid.rejected, shards)
        for side, entities in valid.entities.items():
            yield from of_kind(side, key_by_shard(entities, "id", shards))
            if side == ITEM_ROWS:
                yield Element(ITEM_IDS, 0, pack(entities.select(["id"])))
    yield _counts(counts)


def merge(
    shard: int, found: dict[str, list[Packed]], spec: Spec, *, bounds: TimeBounds | None, known: pa.Array, shards: int
) -> Iterator[Element]:
    """All LINES of a shard -> its PAIRS, ITEM_COUNTS by the shard of the item, REJECTS, COUNTS."""
    merged = merge_shard(concat(found[LINES], GROUPED_LINES), spec, bounds=bounds, known_items=known)
    yield from _rejects(merged.rejected, shards)
    yield _counts(merged.counts)
    yield Element(PAIRS, shard, pack(merged.pairs))
    yield from of_kind(ITEM_COUNTS, counts_by_item(merged.pairs, shards))


def make_items(
    shard: int, found: dict[str, list[Packed]], spec: Spec, *, names: dict[int, tuple[str, str]]
) -> Iterator[Element]:
    """ITEM_ROWS and ITEM_COUNTS of a shard -> its ITEMS, and what mutual information needs of them; COUNTS."""
    items = join_items(found[ITEM_ROWS], found[ITEM_COUNTS], spec.item, names)
    if items.num_rows:
        yield _counts(cold_items(items))
        yield Element(ITEMS, shard, pack(items))
        yield Element(NUMBERS, 0, pack(count_numbers(items, spec.item)))
        yield from of_kind(BLOCKS, key_by_block(items))


def make_queries(
    shard: int, found: dict[str, list[Packed]], spec: Spec, *, names: dict[int, tuple[str, str]]
) -> Iterator[Element]:
    """QUERY_ROWS and PAIRS of a shard -> its QUERIES that have pairs."""
    queries = join_queries(found[QUERY_ROWS], found[PAIRS], spec.query, names)
    if queries.num_rows:
        yield Element(QUERIES, shard, pack(queries))


def write_file(directory: str, name: str, chunks: Iterable[bytes]) -> tuple[int, str]:
    """Writes a file whole or not at all; a task that runs again writes the same."""
    content = b"".join(chunks)
    storage.write_bytes(storage.join(directory, name), content)
    return len(content), hashlib.sha256(content).hexdigest()


def say_written(written: Written) -> Element:
    """What a manifest says of a file, as an element."""
    return Element(WRITTEN, 0, json.dumps(asdict(written)).encode())


def hear_written(said: list[Packed]) -> list[Written]:
    """The files that were written, each once."""
    found = [Written(**json.loads(one)) for one in said]
    return sorted({written.name: written for written in found}.values(), key=lambda written: written.name)


def sum_counts(counted: list[Packed]) -> Counter[str]:
    """Adds up COUNTS."""
    total = Counter[str]()
    for counts in counted:
        total.update(json.loads(counts))
    return total


def bounds_of(numbers: list[Packed], buckets: int) -> dict[str, list[float]]:
    """The bounds of numeric features' classes out of NUMBERS."""
    return quantile_bounds(concat(numbers, NUMBER_ROWS), buckets)


def ids_of(packed: list[Packed]) -> pa.Array:
    """The ids of ITEM_IDS, string [n]."""
    return concat(packed, _IDS).column("id").combine_chunks()


def _counts(counts: dict[str, int]) -> Element:
    return Element(COUNTS, 0, json.dumps(counts).encode())


def _rejects(rejected: pa.Table, shards: int) -> Iterator[Element]:
    if rejected.num_rows:
        yield Element(REJECTS, rejected.column("place")[0].as_py() % shards, pack(rejected))
