"""The tables: their rows validated, and made into items with their training counts and queries that have pairs."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from features.dataset import WITHOUT_ROW
from features.entities import entities_of, entity_schema, table_columns, to_entities, with_counts
from features.ids import valid_ids
from features.interactions import REJECTS, reject_bad_lines
from features.places import locate
from features.pseudonyms import Pseudonyms
from features.raw_features import bad_vector, bad_vectors, vector_sizes
from features.spec.features import Side
from features.spec.sources import TableSource
from features.spec.spec import Spec
from features.sums import sum_counts, total
from pipelines.aggregation.absent_columns import count_present
from pipelines.aggregation.batches import Batch
from pipelines.aggregation.columns import Columns, feature_keys
from pipelines.aggregation.counts import count_found, count_smallest
from pipelines.aggregation.cut_off import count_cut_off
from pipelines.aggregation.input_files import NamedFile
from pipelines.aggregation.packing import Packed, concat
from pipelines.aggregation.unusable_files import count_in_file
from stage.errors import StageError

COUNTED = pa.schema(
    [("id", pa.string()), ("train_count", pa.int64()), ("full_train_count", pa.int64()), ("examples", pa.int64())]
)
"""Counts of the pairs of a query or an item, as `features.pairs.pair_counts` has them."""
_PLACE = pa.field("place", pa.int64())


@dataclass(frozen=True)
class RawTable:
    """A table of the spec."""

    name: str
    """items or queries; names the table in counts and errors."""
    source: TableSource
    sides: dict[str, Side]
    """item, query or both: the sides that take their entities from it."""
    id_column: str
    """What its ids are called in the log, as pseudonyms know them."""

    @property
    def columns(self) -> Columns:
        """Those to read."""
        key, source = f"sources.{self.name}", self.source
        optional = {} if source.title is None else {f"{key}.title": source.title}
        for side_name, side in self.sides.items():
            optional |= feature_keys(f"{side_name}.features", side)
        return Columns(table_columns(source, *self.sides.values()), {f"{key}.id": source.id}, optional=optional)

    @property
    def vector_sizes(self) -> dict[str, int]:
        """Column of each vector -> how many numbers it has."""
        return {column: size for side in self.sides.values() for column, size in vector_sizes(side).items()}


def raw_tables(spec: Spec) -> dict[str, RawTable]:
    """The item table, which may be the query table too, and the query table if there is one."""
    sources = spec.sources
    item_sides: dict[str, Side] = {"item": spec.item}
    if sources.queries == "items":
        item_sides["query"] = spec.query
    found = {"items": RawTable("items", sources.items, item_sides, "item_id")}
    if isinstance(sources.queries, TableSource):
        found["queries"] = RawTable("queries", sources.queries, {"query": spec.query}, "query_id")
    return found


@dataclass(frozen=True)
class ValidRows:
    """What became of a batch of rows."""

    entities: dict[str, pa.Table]
    """Side -> its entities, counts 0, with their `place`."""
    rejected: pa.Table
    """Schema REJECTS."""
    counts: dict[str, int]


def validate_rows(batch: Batch, table: RawTable, *, pseudonyms: Pseudonyms) -> ValidRows:
    """Keeps or rejects each row of a batch, and counts.

    Args:
        batch: Rows of the table.
        table: The table.
        pseudonyms: Those of the log; the table's own ids are called `id`.
    """
    faults, told = _faults(batch.rows, table)
    valid = faults.is_null()
    places = pa.array(batch.places)
    bad = places.filter(pc.invert(valid))
    size = len(bad)
    bad_rows = pa.table([faults.drop_null(), bad, [1] * size, told.filter(faults.is_valid())], schema=REJECTS)
    rejected = pa.concat_tables([reject_bad_lines(batch.bad, batch.first_place), bad_rows])
    reasons = Counter(rejected.column("reason").to_pylist())
    lines = batch.lines - batch.blank
    counts = {f"{table.name}/read": lines}
    counts |= {f"rejected/{table.name}/{reason}": number for reason, number in reasons.items()}
    counts |= count_in_file(batch.file.path, lines, source=table.name, rejected=reasons)
    counts |= count_found(bad_rows, table.name)
    counts |= count_cut_off(batch)
    counts |= count_present(batch.rows, table.name, columns=table.columns.optional)
    rows = batch.rows.filter(valid)
    entities = {}
    for name, side in table.sides.items():
        made = to_entities(rows, table.source, side=side).append_column(_PLACE, places.filter(valid))
        entities[name] = pseudonyms.of_table(table.id_column).replace(made)
    named = pc.binary_join_element_wise(pa.scalar(table.name), rejected.column("reason"), "/")
    return ValidRows(entities, rejected.set_column(0, "reason", named), counts)


def _faults(rows: pa.RecordBatch, table: RawTable) -> tuple[pa.Array, pa.Array]:
    """Why a row is rejected, string [n], null where it isn't, of several reasons the first; and of a vector what it is.

    Returns:
        The reasons, and what rejects/ keeps as their content, binary [n].
    """
    nothing = pa.scalar(None, pa.string())
    faults = pc.if_else(valid_ids(rows.column(table.source.id)), nothing, "bad_id")
    told = pa.nulls(len(faults), pa.string())
    for side in table.sides.values():
        sizes = vector_sizes(side)
        for column, bad in bad_vectors(rows, side).items():
            is_first = pc.and_(pa.array(bad), faults.is_null())
            lengths = pc.list_value_length(rows.column(column))
            found = pc.if_else(
                pc.equal(lengths, sizes[column]),
                "a null, or a number that float32 can't hold",
                pc.binary_join_element_wise(lengths.cast(pa.string()), f"numbers, not {sizes[column]}", " "),
            )
            faults = pc.if_else(is_first, bad_vector(column), faults)
            told = pc.if_else(is_first, found, told)
    return faults, told.cast(pa.binary())


def join_items(
    rows: Iterable[Packed], counts: Iterable[Packed], *, side: Side, names: Mapping[int, NamedFile]
) -> pa.Table:
    """The items of a shard with their training counts, schema `entity_schema`.

    Args:
        rows: Item rows, with their places.
        counts: Counts of their pairs, schema COUNTED, perhaps several of an item.
        side: The items' features.
        names: File number -> its name, for errors.

    Raises:
        StageError: If an id stands twice.
    """
    items = _distinct(concat(rows, entity_schema(side).append(_PLACE)), "items", names=names)
    return with_counts(items, sum_counted(counts))


def sum_counted(counts: Iterable[Packed]) -> pa.Table:
    """The counts of each query or item of a shard, schema COUNTED."""
    return sum_counts(concat(counts, COUNTED), "id")


def count_items(items: pa.Table) -> dict[str, int]:
    """Counts the items without a training pair, and the smallest id."""
    cold = {"items/cold": total(pc.equal(items.column("train_count"), 0))}
    return cold | count_smallest(items.column("id"), reason="unknown_item", of="table")


def join_queries(
    rows: Iterable[Packed], counts: pa.Table, *, spec: Spec, names: Mapping[int, NamedFile]
) -> tuple[pa.Table, dict[str, int]]:
    """The queries of a shard that have pairs, with their training counts.

    Args:
        rows: Query rows, with their places.
        counts: Those of their pairs, schema COUNTED, one of each query.
        spec: The dataset's spec.
        names: As `join_items` takes them.

    Returns:
        The queries, schema `entity_schema`, without a row the id alone; and, where there is a query table, the count
        of those without a row, and the smallest ids of either side if they may be told.

    Raises:
        StageError: If an id stands twice.
    """
    known = _distinct(concat(rows, entity_schema(spec.query).append(_PLACE)), "queries", names=names)
    ids = counts.column("id").combine_chunks()
    queries = with_counts(entities_of(ids, known, side=spec.query), counts)
    if spec.sources.queries is None:
        return queries, {}
    without = ids.filter(pc.invert(pc.is_in(ids, known.column("id"))))
    told = {WITHOUT_ROW: len(without)}
    if spec.sources.rejects == "content":
        told |= count_smallest(without, reason=WITHOUT_ROW, of="log")
        told |= count_smallest(known.column("id"), reason=WITHOUT_ROW, of="table")
    return queries, told


def _distinct(entities: pa.Table, label: str, *, names: Mapping[int, NamedFile]) -> pa.Table:
    """The entities without their places.

    Raises:
        StageError: If an id stands twice, naming both places; other shards may have more such ids.
    """
    ids = entities.column("id")
    if pc.count_distinct(ids).as_py() < entities.num_rows:
        counted = ids.value_counts()
        twice = counted.filter(pc.greater(counted.field("counts"), 1)).field("values")
        first = min(twice.to_pylist())
        found = sorted(entities.filter(pc.equal(ids, first)).column("place").to_pylist())
        where = " and ".join(names[file].describe(offset) for file, offset in map(locate, found[:2]))
        others = len(twice) - 1
        more = f" (at least {others} more {'id stands' if others == 1 else 'ids stand'} there twice)" if others else ""
        raise StageError(
            f"{label}: expected each id once, but '{first}' stands at {where}{more}; "
            "there may be more: remove all duplicates from the table"
        )
    return entities.drop_columns(["place"])
