"""From lines to pairs: duplicates dropped, split, merged, leaks and cold items' pairs removed, thinned, capped."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.hashing import as_fraction, hash_pairs, hash_texts, mix
from features.interactions import LINES, REJECTS
from features.ranges import place_in_run
from features.row_groups import group_rows
from features.row_lists import encode_rows
from features.spec.split import Split
from features.split import SPLITS, TimeBounds, are_cold, split_of_lines
from features.sums import sum_counts, total

PAIRS = pa.schema(
    [
        ("query_id", pa.string()),
        ("item_id", pa.string()),
        ("split", pa.int8()),
        ("count", pa.int64()),
        ("first", pa.timestamp("us")),
        ("last", pa.timestamp("us")),
        ("thinned", pa.bool_()),
    ]
)
"""One row per (query, item, split): its lines, their first and last time. A thinned training pair is left out of train/
by `split.train_fraction`, and counts for head and tail alone."""

GROUPED_LINES = LINES.append(pa.field("lines", pa.int64()))
"""Lines of which those that are equal in all but their place are one row; `place` is the first of them."""

_THIN_SEED = 0x7417
_CAP_SEED = 0xCA9


@dataclass
class Kept:
    """Lines or pairs that go on, and what became of the other lines."""

    rows: pa.Table
    """Schema GROUPED_LINES or PAIRS."""
    filtered: Counter[str]
    """Rule -> lines."""


def group_lines(lines: pa.Table) -> pa.Table:
    """Puts equal lines together; of any part of a log, again over its parts.

    Args:
        lines: Schema GROUPED_LINES; of columns beyond these, what the first of equal lines says is kept.
    """
    keys, context = ["query_id", "item_id", "event", "timestamp"], lines.column_names[len(GROUPED_LINES) :]
    if context:
        lines = lines.sort_by("place")
    groups = group_rows(lines, keys)
    rows = groups.min(pa.chunked_array([np.arange(lines.num_rows)])) if context else groups.some_row
    grouped = lines.take(rows)
    for name, column in (("place", groups.min(lines.column("place"))), ("lines", groups.sum(lines.column("lines")))):
        grouped = grouped.set_column(grouped.schema.get_field_index(name), name, column)
    return grouped


def one_by_one(lines: pa.Table) -> pa.Table:
    """Lines as they are, schema LINES, as groups of one each, schema GROUPED_LINES."""
    once = pa.array(np.ones(lines.num_rows, np.int64))
    return lines.add_column(len(LINES), GROUPED_LINES.field("lines"), once)


def code_ids(lines: pa.Table) -> pa.Table:
    """Puts the ids of lines, schema GROUPED_LINES, into dictionaries, once for all that groups, hashes or looks up."""
    for name in ("query_id", "item_id"):
        ids = lines.column(name).combine_chunks().dictionary_encode()
        lines = lines.set_column(lines.schema.get_field_index(name), name, ids)
    return lines


def keep_lines(lines: pa.Table, *, drop_duplicates: bool) -> Kept:
    """Drops duplicates.

    Args:
        lines: Every line of some (query, item), schema GROUPED_LINES, perhaps as `code_ids` gives them, in any order.
        drop_duplicates: Whether equal lines count as one.

    Returns:
        Schema GROUPED_LINES, but the ids in dictionaries.
    """
    lines = code_ids(lines)
    if not drop_duplicates:
        return Kept(lines, Counter())
    distinct = group_lines(lines)
    duplicates = total(distinct.column("lines")) - distinct.num_rows
    return Kept(one_by_one(distinct.drop_columns("lines")), Counter(duplicate=duplicates))


def merge_lines(
    lines: pa.Table,
    *,
    split: Split,
    bounds: TimeBounds | None,
    drop_duplicates: bool,
    queries_are_items: bool,
) -> Kept:
    """Makes pairs out of all their lines; nothing here looks beyond the lines of one (query, item).

    Args:
        lines: Every line of these (query, item), schema GROUPED_LINES, in any order.
        split: The spec's section.
        bounds: For a split by time.
        drop_duplicates: Whether equal lines count as one.
        queries_are_items: Whether a cold item is cold as a query too.
    """
    kept = keep_lines(lines, drop_duplicates=drop_duplicates)
    lines, filtered = kept.rows, kept.filtered
    if bounds is None:
        # By a hash of the pair, all its lines are in one split.
        pairs = _merge(lines, ["query_id", "item_id"])
        pairs = pairs.append_column("split", pa.array(split_of_lines(pairs, split, bounds=bounds)))
    else:
        lines = lines.append_column("split", pa.array(split_of_lines(lines, split, bounds=bounds)))
        pairs = _merge(lines, ["query_id", "item_id", "split"])
    if bounds is not None and not split.repeat_consumption:
        leaks = _is_pair_of_earlier_split(pairs)
        filtered["pair_of_earlier_split"] = total(pairs.column("count").filter(leaks))
        pairs = pairs.filter(pc.invert(leaks))
    if split.cold_items:
        # After the leaks, so that the other pairs of validation and test are those of a split without cold items.
        lost = _lost_to_cold_items(pairs, split, queries_are_items=queries_are_items)
        filtered["cold_item"] = total(pairs.column("count").filter(lost))
        pairs = pairs.filter(pc.invert(lost))
    pairs = pairs.append_column("thinned", pa.array(is_thinned(pairs, split))).select(PAIRS.names).cast(PAIRS)
    return Kept(pairs, +filtered)


def cap_pairs(pairs: pa.Table, split: Split) -> Kept:
    """Drops the training pairs beyond the latest of their query; of any part of the pairs, again over its parts.

    Args:
        pairs: Schema PAIRS, perhaps with more columns, in any order; of the thinned ones, too, the latest are kept.
        split: The spec's section.
    """
    if split.max_train_pairs_per_query is None:
        return Kept(pairs, Counter())
    over = pa.array(_over_cap(pairs, split.max_train_pairs_per_query, seed=split.seed))
    lines = total(pairs.column("count").filter(over))
    return Kept(pairs.filter(pc.invert(over)), +Counter(over_cap=lines))


def unknown_items(lines: pa.Table) -> pa.Table:
    """Lines whose items no table knows, as rejects: one row per pair, with its lines and its first place.

    Args:
        lines: Every line of these (query, item), schema GROUPED_LINES, perhaps with the ids in dictionaries.

    Returns:
        Schema REJECTS. Their content is both ids with a tab between, which no id holds.
    """
    lines = lines.select(GROUPED_LINES.names).cast(GROUPED_LINES)
    pairs = lines.group_by(["query_id", "item_id"], use_threads=False).aggregate([("lines", "sum"), ("place", "min")])
    content = pc.binary_join_element_wise(
        pairs.column("query_id").cast(pa.binary()), pairs.column("item_id").cast(pa.binary()), b"\t"
    )
    return pa.table(
        [pa.array(["unknown_item"] * pairs.num_rows, pa.string()), pairs["place_min"], pairs["lines_sum"], content],
        schema=REJECTS,
    )


def pair_counts(pairs: pa.Table, by: str) -> pa.Table:
    """Pairs per query or per item.

    Args:
        pairs: Schema PAIRS.
        by: query_id or item_id.

    Returns:
        `by`; int64 train_count (examples in train/ that hold it), full_train_count (before thinning), examples (of any
        split).
    """
    train = pc.equal(pairs.column("split"), SPLITS.index("train"))
    kept = pc.invert(pairs.column("thinned"))
    counted = pa.table(
        {
            by: pairs.column(by),
            "train_count": pc.and_(train, kept).cast(pa.int64()),
            "full_train_count": train.cast(pa.int64()),
            "examples": kept.cast(pa.int64()),
        }
    )
    return sum_counts(counted, by)


def _merge(lines: pa.Table, keys: list[str]) -> pa.Table:
    groups = group_rows(lines, keys)
    merged = lines.select(keys).take(groups.some_row)
    merged = merged.append_column("count", groups.sum(lines.column("lines")))
    merged = merged.append_column("first", groups.min(lines.column("timestamp")))
    return merged.append_column("last", groups.max(lines.column("timestamp")))


def _is_pair_of_earlier_split(pairs: pa.Table) -> pa.ChunkedArray:
    """True for a row if (query, item) also has a row of an earlier split; a pair has at most one row per split."""
    groups = group_rows(pairs, ["query_id", "item_id"])
    return pc.greater(pairs.column("split"), groups.spread(groups.min(pairs.column("split"))))


def _lost_to_cold_items(pairs: pa.Table, split: Split, *, queries_are_items: bool) -> pa.Array:
    """True for a training pair of a cold item, and for any pair that has one for its query."""
    train = pairs.column("split").to_numpy() == SPLITS.index("train")
    lost = train & are_cold(pairs.column("item_id").combine_chunks(), split)
    if queries_are_items:
        # A training pair of the query would train what the item shares with it: the row of its id.
        lost |= are_cold(pairs.column("query_id").combine_chunks(), split)
    return pa.array(lost)


def _over_cap(pairs: pa.Table, cap: int, *, seed: int) -> npt.NDArray[np.bool_]:
    """Training pairs beyond the latest `cap` of their query; ties by a hash of the item, then of the context."""
    train = np.flatnonzero(pairs.column("split").to_numpy() == SPLITS.index("train"))
    context = [name for name in pairs.column_names if name.startswith("feature/")]
    mine = pairs.select(["query_id", "item_id", "last", *context]).take(pa.array(train))  # not the histories
    queries = mine.column("query_id").combine_chunks().dictionary_encode().indices.to_numpy()
    last = mine.column("last").cast(pa.int64()).fill_null(-1).to_numpy()
    keys = [hash_of_pairs(mine, seed ^ _CAP_SEED), -last, queries]
    if context:
        keys.insert(0, hash_texts(encode_rows(mine.select(context)).cast(pa.binary()), seed ^ _CAP_SEED))
    order = np.lexsort(keys)
    over = np.zeros(pairs.num_rows, bool)
    over[train[order[place_in_run(queries[order]) >= cap]]] = True
    return over


def is_thinned(pairs: pa.Table, split: Split, *, by_time: bool = False) -> npt.NDArray[np.bool_]:
    """Which training pairs `split.train_fraction` leaves out of train/, bool [n].

    Args:
        pairs: Schema PAIRS but for `thinned`.
        split: The spec's section.
        by_time: Whether each of a pair's examples is drawn by itself, by its time.
    """
    if split.train_fraction == 1:
        return np.zeros(pairs.num_rows, bool)
    hashes = hash_of_pairs(pairs, split.seed ^ _THIN_SEED)
    if by_time:
        hashes = mix(hashes, pairs.column("last").cast(pa.int64()).to_numpy().astype(np.uint64))
    train = pairs.column("split").to_numpy() == SPLITS.index("train")
    return train & (as_fraction(hashes) >= split.train_fraction)


def hash_of_pairs(pairs: pa.Table, seed: int) -> npt.NDArray[np.uint64]:
    """A hash of each (query, item), uint64 [n]."""
    return hash_pairs(pairs.column("query_id").combine_chunks(), pairs.column("item_id").combine_chunks(), seed=seed)
