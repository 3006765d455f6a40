"""What the job's tasks do: read ranges, merge shards, join entities, count, and write."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict

import pyarrow as pa
from pyspark import Broadcast

from features.interactions import Window
from features.pairs import PAIRS as PAIR_ROWS
from features.pseudonyms import Pseudonyms
from features.quantile_bounds import count_numbers
from features.spec.spec import Spec
from features.split import TimeBounds
from pipelines.aggregation import output
from pipelines.aggregation.input_files import FileRange, NamedFile
from pipelines.aggregation.item_join import ByItem, is_known, lacking_items, want_items
from pipelines.aggregation.log import (
    Busy,
    LinesToShuffle,
    cap_shard,
    caps_apart,
    count_by_split,
    counts_by,
    latest_of_busy,
    lines_of_shard,
    log_columns,
    merge_shard,
    to_cap,
    validate_batch,
)
from pipelines.aggregation.mutual_information import count_blocks, histogram_of, key_by_block, open_block
from pipelines.aggregation.output import Target, Written, shard_of_rejects
from pipelines.aggregation.packing import Keyed, Packed, concat, key_by_shard, pack, unpack
from pipelines.aggregation.reading import read_batches
from pipelines.aggregation.tables import RawTable, cold_items, join_items, join_queries, sum_counted, validate_rows
from pipelines.spark.elements import Element, of_kind

COUNTS, REJECTS, WRITTEN = "counts", "rejects", "written"
LINES, ITEM_ROWS, QUERY_ROWS, ITEM_IDS = "lines", "item", "query", "item_ids"
BUSY, WANTED, LACKING, TO_CAP = "busy", "wanted", "lacking", "to_cap"
PAIRS, ITEM_COUNTS, QUERY_COUNTS, ITEMS, QUERIES = "pairs", "item_counts", "query_counts", "items", "queries"
NUMBERS, BLOCKS, VALUE_COUNTS, HISTOGRAMS = "numbers", "blocks", "value_counts", "histograms"


def read_log_range(
    element: FileRange, spec: Spec, *, window: Window, pseudonyms: Pseudonyms, shards: int, item_join: ByItem
) -> Iterator[Element]:
    """A range of the log -> LINES by their shard, BUSY, REJECTS, COUNTS; WANTED if items are joined by shuffle."""
    lines, counts = LinesToShuffle(spec, shards), Counter[str]()
    for batch in read_batches(element, log_columns(spec)):
        valid = validate_batch(batch, spec, window=window, pseudonyms=pseudonyms)
        counts.update(valid.counts)
        yield from _rejects(valid.rejected, shards)
        yield from _lines(lines.add(valid.lines), item_join, shards=shards)
    yield from _lines(lines.flush(), item_join, shards=shards)
    counts.update(lines.counts)
    yield _counts(counts)


def latest_of_busy_users(
    key: int, found: dict[str, list[Packed]], *, spec: Spec, shards: int, item_join: ByItem
) -> Iterator[Element]:
    """All BUSY of a key -> LINES by their shard, COUNTS; WANTED if items are joined by shuffle."""
    lines, counts = latest_of_busy(key, found[BUSY], spec=spec, shards=shards)
    yield from _lines(lines, item_join, shards=shards)
    yield _counts(counts)


def _lines(lines: Iterable[Keyed | Busy], item_join: ByItem, *, shards: int) -> Iterator[Element]:
    for element in lines:
        if isinstance(element, Busy):
            yield Element(BUSY, *element.keyed)
            continue
        yield Element(LINES, *element)
        if item_join == "shuffle":
            yield from of_kind(WANTED, want_items(element, shards))


def find_lacking(_: int, found: dict[str, list[Packed]]) -> Iterator[Element]:
    """ITEM_ROWS and WANTED of a shard of items -> LACKING by the shard of lines."""
    yield from of_kind(LACKING, lacking_items(found[WANTED], found[ITEM_ROWS]))


def read_table_range(
    element: FileRange, table: RawTable, *, pseudonyms: Pseudonyms, shards: int, item_join: ByItem
) -> Iterator[Element]:
    """A range of a table -> ITEM_ROWS and QUERY_ROWS by shard, REJECTS, COUNTS; ITEM_IDS if they are a side input."""
    counts = Counter[str]()
    for batch in read_batches(element, table.columns):
        valid = validate_rows(batch, table, pseudonyms=pseudonyms)
        counts.update(valid.counts)
        yield from _rejects(valid.rejected, shards)
        for side, entities in valid.entities.items():
            yield from of_kind(side, key_by_shard(entities, "id", shards=shards))
            if side == ITEM_ROWS and item_join == "side_input":
                yield Element(ITEM_IDS, 0, pack(entities.select(["id"])))
    yield _counts(counts)


def merge(
    shard: int,
    found: dict[str, list[Packed]],
    *,
    spec: Spec,
    bounds: TimeBounds | None,
    known: Broadcast[Packed] | None,
    shards: int,
) -> Iterator[Element]:
    """All LINES of a shard and what it is LACKING -> its pairs (`finish_pairs`), those TO_CAP, REJECTS, COUNTS.

    Args:
        shard: Its number.
        found: Its elements.
        spec: The dataset's spec.
        bounds: For a split by time.
        known: All ids of the item table, unless items are joined by shuffle.
        shards: How many there are.
    """
    lines = lines_of_shard(found[LINES], spec)
    is_item = is_known(lines, known=known.value if known else None, lacking=found[LACKING])
    merged = merge_shard(lines, spec, bounds=bounds, known=is_item)
    yield from _rejects(merged.rejected, shards)
    yield _counts(merged.counts)
    pairs = merged.pairs
    if caps_apart(spec):
        training, pairs = to_cap(pairs, shards)
        yield from of_kind(TO_CAP, training)
    yield from finish_pairs(shard, pairs, shards=shards)


def cap(shard: int, found: dict[str, list[Packed]], *, spec: Spec, shards: int) -> Iterator[Element]:
    """The training pairs of a shard of queries, TO_CAP -> those within the cap (`finish_pairs`), COUNTS."""
    pairs, counts = cap_shard(concat(found[TO_CAP], PAIR_ROWS), spec)
    yield _counts(counts)
    yield from finish_pairs(shard, pairs, shards=shards)


def finish_pairs(shard: int, pairs: pa.Table, *, shards: int) -> Iterator[Element]:
    """Pairs that no step drops any more -> PAIRS, ITEM_COUNTS and QUERY_COUNTS by the shard of the id, COUNTS."""
    yield _counts(count_by_split(pairs))
    yield Element(PAIRS, shard, pack(pairs))
    for kind, id_column in ((ITEM_COUNTS, "item_id"), (QUERY_COUNTS, "query_id")):
        yield from of_kind(kind, counts_by(id_column, pairs, shards=shards))


def concat_pairs(shard: int, found: dict[str, list[Packed]]) -> Iterator[Element]:
    """The PAIRS of a shard as one element."""
    yield Element(PAIRS, shard, pack(concat(found[PAIRS], PAIR_ROWS)))


def make_items(
    shard: int, found: dict[str, list[Packed]], *, spec: Spec, names: Mapping[int, NamedFile]
) -> Iterator[Element]:
    """ITEM_ROWS and ITEM_COUNTS of a shard -> its ITEMS, NUMBERS and COUNTS."""
    items = join_items(found[ITEM_ROWS], found[ITEM_COUNTS], side=spec.item, names=names)
    if items.num_rows:
        yield _counts(cold_items(items))
        yield Element(ITEMS, shard, pack(items))
        yield Element(NUMBERS, 0, pack(count_numbers(items, spec.item)))


def make_blocks(items: Element, spec: Spec, *, corpus: int) -> Iterator[Element]:
    """ITEMS of a shard -> BLOCKS by the block."""
    yield from of_kind(BLOCKS, key_by_block(unpack(items.packed), spec, corpus=corpus))


def count_block(
    _: int, found: dict[str, list[Packed]], *, spec: Spec, bounds: dict[str, list[float]], shards: int
) -> Iterator[Element]:
    """The items of a block, BLOCKS -> VALUE_COUNTS by the shard of what is counted, and HISTOGRAMS."""
    for counts, complete in count_blocks([open_block(found[BLOCKS])], spec, bounds=bounds, shards=shards):
        yield from of_kind(VALUE_COUNTS, counts)
        yield Element(HISTOGRAMS, 0, complete)


def make_histogram(shard: int, found: dict[str, list[Packed]]) -> Iterator[Element]:
    """VALUE_COUNTS of a shard -> HISTOGRAMS."""
    yield Element(HISTOGRAMS, shard, histogram_of(found[VALUE_COUNTS]))


def make_queries(
    shard: int, found: dict[str, list[Packed]], *, spec: Spec, names: Mapping[int, NamedFile]
) -> Iterator[Element]:
    """QUERY_ROWS and QUERY_COUNTS of a shard -> its QUERIES that have pairs; COUNTS."""
    queries, counts = join_queries(found[QUERY_ROWS], sum_counted(found[QUERY_COUNTS]), spec=spec, names=names)
    if queries.num_rows:
        yield _counts(counts)
        yield Element(QUERIES, shard, pack(queries))


def write_rejects(
    shard: int, found: dict[str, list[Packed]], *, names: Mapping[int, NamedFile], keep_content: bool, target: Target
) -> Iterator[Element]:
    """The REJECTS of a shard -> WRITTEN."""
    yield _written(output.write_rejects((shard, found[REJECTS]), target, names=names, keep_content=keep_content))


def write_each(element: Element, *, write: Callable[[Keyed], Written]) -> Iterator[Element]:
    """PAIRS, ITEMS or QUERIES -> WRITTEN."""
    yield _written(write((element.shard, element.packed)))


def _written(written: Written) -> Element:
    return Element(WRITTEN, 0, json.dumps(asdict(written)).encode())


def decode_written(said: list[Packed]) -> list[Written]:
    """The files that were written, each once."""
    found = (Written(**json.loads(one)) for one in said)
    return list({written.name: written for written in found}.values())


def total_counts(counted: list[Packed]) -> Counter[str]:
    """Adds up COUNTS."""
    total = Counter[str]()
    for counts in counted:
        total.update(json.loads(counts))
    return total


def _counts(counts: dict[str, int]) -> Element:
    return Element(COUNTS, 0, json.dumps(counts).encode())


def _rejects(rejected: pa.Table, shards: int) -> Iterator[Element]:
    if rejected.num_rows:
        yield Element(REJECTS, shard_of_rejects(rejected, shards), pack(rejected))
