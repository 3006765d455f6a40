"""Steps from raw logs and tables to pairs and entities: what each makes of its elements, whichever engine runs it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial

from features.data_window import DataWindow
from features.pairs import PAIRS
from features.pseudonyms import Pseudonyms
from features.shards import shard_of, take_apart
from features.spec.features import Side
from features.spec.spec import Spec
from features.split import TimeBounds
from pipelines.aggregation import kinds
from pipelines.aggregation.batches import Batch
from pipelines.aggregation.elements import CoGrouped, Element, Grouped, counted, of_kind, rejected
from pipelines.aggregation.input_files import NamedFile
from pipelines.aggregation.item_join import IDS, is_known
from pipelines.aggregation.lines_to_shuffle import LinesToShuffle, lines_of_shard
from pipelines.aggregation.log import validate_batch
from pipelines.aggregation.merging import cap_shard, caps_apart, count_by_split, counts_by, merge_shard, to_cap
from pipelines.aggregation.packing import Keyed, Packed, concat, pack, unpack
from pipelines.aggregation.placement import hot_queries
from pipelines.aggregation.tables import RawTable, count_items, join_items, join_queries, sum_counted, validate_rows
from stage.progress import counters


class ValidateLines:
    """Batches of the log -> LINES, BUSY, REJECTS, and COUNTS at the end."""

    def __init__(
        self, spec: Spec, *, window: DataWindow, pseudonyms: Pseudonyms, shards: int, bounds: TimeBounds | None
    ) -> None:
        self._validate = partial(validate_batch, spec=spec, window=window, pseudonyms=pseudonyms, bounds=bounds)
        self._shards, self._lines, self._counts = shards, LinesToShuffle(spec, shards), Counter[str]()

    def add(self, batch: Batch) -> Iterator[Element]:
        """Takes a batch; gives what has to go on."""
        valid = self._validate(batch)
        counters.add("lines", batch.lines)
        self._counts.update(valid.counts)
        yield from rejected(valid.rejected, self._shards)
        if valid.lines.num_rows:
            yield from self._lines.add(valid.lines)

    def end(self) -> Iterator[Element]:
        """Gives what is left."""
        yield from self._lines.flush()
        self._counts.update(self._lines.counts)
        yield counted(self._counts)


class ValidateRows:
    """Batches of a table -> ITEM_ROWS and QUERY_ROWS, ITEM_IDS, REJECTS, and COUNTS at the end."""

    def __init__(self, table: RawTable, *, pseudonyms: Pseudonyms, shards: int) -> None:
        self._table, self._pseudonyms, self._shards = table, pseudonyms, shards
        self._counts = Counter[str]()

    def add(self, batch: Batch) -> Iterator[Element]:
        """Takes a batch; gives its rows."""
        valid = validate_rows(batch, self._table, pseudonyms=self._pseudonyms)
        counters.add(self._table.name, batch.lines)
        self._counts.update(valid.counts)
        yield from rejected(valid.rejected, self._shards)
        for side, entities in valid.entities.items():
            for shard, rows in take_apart(entities, shard_of(entities.column("id").combine_chunks(), self._shards)):
                yield Element(side, (shard, pack(rows)))
                if side == kinds.ITEM_ROWS:
                    yield Element(kinds.ITEM_IDS, (shard, pack(rows.select(IDS.names))))

    def end(self) -> Iterator[Element]:
        """Gives the counts."""
        yield counted(self._counts)


def merge(
    element: CoGrouped, spec: Spec, *, bounds: TimeBounds | None, shards: int, known: Packed | None = None
) -> Iterator[Element]:
    """All LINES of a shard and what it is LACKING -> its PAIRS, those TO_CAP, REJECTS, COUNTS.

    Args:
        element: A shard.
        spec: The dataset's spec.
        bounds: For a split by time.
        shards: How many there are.
        known: All ids of the item table, schema IDS, unless items are joined by shuffle.
    """
    shard, found = element
    lines = lines_of_shard(found[kinds.LINES], spec)
    is_item = is_known(lines, known=known, lacking=found.get(kinds.LACKING, ()))
    merged = merge_shard(lines, spec, bounds=bounds, known=is_item)
    counters.add("pairs", merged.pairs.num_rows)
    yield from rejected(merged.rejected, shards)
    yield counted(merged.counts)
    pairs = merged.pairs
    if caps_apart(spec):
        training, pairs = to_cap(pairs, shards)
        yield from of_kind(kinds.TO_CAP, training)
    if pairs.num_rows:
        yield Element(kinds.PAIRS, (shard, pack(pairs)))


def cap(element: Grouped, spec: Spec) -> Iterator[Element]:
    """The training pairs of a shard of queries, TO_CAP -> PAIRS within the cap, COUNTS."""
    shard, training = element
    pairs, counts = cap_shard(concat(training, PAIRS), spec)
    yield counted(counts)
    yield Element(kinds.PAIRS, (shard, pack(pairs)))


def count_pairs(element: Keyed, shards: int) -> Iterator[Element]:
    """PAIRS, which no step drops any more -> ITEM_COUNTS and QUERY_COUNTS by the shard of the id, COUNTS."""
    pairs = unpack(element[1])
    yield counted(count_by_split(pairs))
    for kind, id_column in ((kinds.ITEM_COUNTS, "item_id"), (kinds.QUERY_COUNTS, "query_id")):
        yield from of_kind(kind, counts_by(id_column, pairs, shards=shards))


def make_items(element: CoGrouped, side: Side, *, names: Mapping[int, NamedFile]) -> Iterator[Element]:
    """ITEM_ROWS and ITEM_COUNTS of a shard -> its ITEMS, those of the corpus; COUNTS."""
    shard, found = element
    items = join_items(found[kinds.ITEM_ROWS], found[kinds.ITEM_COUNTS], side=side, names=names)
    if items.num_rows:
        yield counted(count_items(items))
        yield Element(kinds.ITEMS, (shard, pack(items)))


def make_queries(element: CoGrouped, spec: Spec, *, names: Mapping[int, NamedFile]) -> Iterator[Element]:
    """QUERY_ROWS and QUERY_COUNTS of a shard -> its QUERIES that have pairs, the ids of HOT ones, COUNTS.

    Without a row, a query is its id alone.
    """
    shard, found = element
    counts = sum_counted(found[kinds.QUERY_COUNTS])
    yield Element(kinds.HOT, (shard, pack(hot_queries(counts, spec))))
    queries, of_rows = join_queries(found[kinds.QUERY_ROWS], counts, spec=spec, names=names)
    yield counted(of_rows)
    if queries.num_rows:
        yield Element(kinds.QUERIES, (shard, pack(queries)))
