"""Session mode: from the lines of some users to examples, each a user's history and the item that came next.

A history is what the user did strictly before: of lines with one timestamp none is in another's history. It reaches
back to the session's start, `window` seconds, or `max_history` items, whichever is latest, and its latest item is the
last. Every line that is kept is in later histories, those too that make no example themselves.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.hashing import hash_texts
from features.pairs import GROUPED_LINES, PAIRS, Kept, is_thinned, keep_lines
from features.ranges import begins_run, offsets, ranges
from features.raw_features import with_features
from features.spec.session import Session
from features.spec.spec import Spec
from features.spec.split import Split
from features.split import TimeBounds, split_of_lines

HISTORY_TYPE = pa.large_list(pa.dictionary(pa.int32(), pa.string()))
SESSION_PAIRS = PAIRS.append(pa.field("history", HISTORY_TYPE))
"""One row per example: `count` is 1, `first` and `last` are the line's time. Histories overlap, so that an id stands in
many; with each id once, a shard of 540,000 examples with 46 items each took 135 MB instead of 510 (measured)."""

_MICROSECONDS = 1_000_000
_TIE_SEED = 0x71E


def pair_schema(spec: Spec) -> pa.Schema:
    """Columns of the pairs of a dataset."""
    return PAIRS if spec.session is None else with_features(SESSION_PAIRS, spec.session.context)


def session_pairs(
    lines: pa.Table,
    *,
    session: Session,
    split: Split,
    bounds: TimeBounds | None,
    drop_duplicates: bool,
) -> Kept:
    """Makes the examples of some users out of all their lines.

    Args:
        lines: Every line of these users and no other, a row each, schema GROUPED_LINES with the context's columns, in
            any order; timestamps not null.
        session: The spec's section.
        split: The spec's section.
        bounds: For a split by time.
        drop_duplicates: Whether equal lines count as one.

    Returns:
        Pairs of schema SESSION_PAIRS, each with its own line's context.
    """
    kept = keep_lines(lines, drop_duplicates=drop_duplicates)
    ordered = _in_order(kept.rows)
    begin, end = _histories(ordered, session)
    made = end - begin >= session.min_history
    filtered = kept.filtered
    filtered["short_history"] = int((~made).sum())
    context = with_features(pa.schema([]), session.context)
    lines = kept.rows.select(["query_id", "item_id", "timestamp", *context.names])
    lines = lines.take(pa.array(ordered.row[made]))
    pairs = pa.table(
        {
            "query_id": lines.column("query_id"),
            "item_id": lines.column("item_id"),
            "split": split_of_lines(lines, split, bounds=bounds),
            "count": np.ones(lines.num_rows, np.int64),
            "first": lines.column("timestamp"),
            "last": lines.column("timestamp"),
            "history": _items_between(ordered.items, ordered.item, begin=begin[made], end=end[made]),
        }
    )
    pairs = pairs.append_column("thinned", pa.array(is_thinned(pairs, split, by_time=True)))
    pairs = pairs.select(SESSION_PAIRS.names).cast(SESSION_PAIRS)
    for field in context:
        pairs = pairs.append_column(field, lines.column(field.name))
    return Kept(pairs, +filtered)


@dataclass(frozen=True)
class _Ordered:
    """Lines by user, and of each user in their order: by time, at one time by a hash of the item.

    Of lines that differ in context alone the first in the log is first, so that a task that runs again writes the same.
    """

    row: npt.NDArray[np.int64]
    """[n], the line's row in the table that was ordered."""
    user: npt.NDArray[np.int64]
    """[n], from 0 on, rising."""
    time: npt.NDArray[np.int64]
    """[n], microseconds."""
    item: npt.NDArray[np.int64]
    """[n], places in `items`."""
    items: pa.Array
    """string [m], distinct, by their hash."""


def _in_order(lines: pa.Table) -> _Ordered:
    users = lines.column("query_id").combine_chunks().indices.to_numpy()
    items = lines.column("item_id").combine_chunks()
    ranks = _ranks(items.dictionary)
    item = ranks[items.indices.to_numpy()]
    time = lines.column("timestamp").cast(pa.int64()).to_numpy()
    keys = [item, time, users]
    if lines.num_columns > len(GROUPED_LINES):
        keys.insert(0, lines.column("place").to_numpy())
    order = np.lexsort(keys)
    return _Ordered(
        row=order,
        user=np.cumsum(begins_run(users[order])) - 1,
        time=time[order],
        item=item[order],
        items=items.dictionary.take(pa.array(np.argsort(ranks))),
    )


def _ranks(ids: pa.Array) -> npt.NDArray[np.int64]:
    """Each distinct id's place by its hash, and by itself where two hashes are equal, [m]."""
    alphabetical = np.empty(len(ids), np.int64)
    alphabetical[pc.sort_indices(ids).to_numpy()] = np.arange(len(ids))
    ranks = np.empty(len(ids), np.int64)
    ranks[np.lexsort((alphabetical, hash_texts(ids, _TIE_SEED)))] = np.arange(len(ids))
    return ranks


def _histories(lines: _Ordered, session: Session) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where each line's history begins and ends among the ordered lines, [n] each, the end exclusive."""
    place = np.arange(len(lines.time))
    new_user = begins_run(lines.user)
    pause = np.diff(lines.time, prepend=0)
    new_time = new_user | (pause != 0)
    end = np.maximum.accumulate(np.where(new_time, place, 0))
    new_session = new_user
    if session.gap is not None:
        new_session = new_user | (pause > session.gap * _MICROSECONDS)
    begin = np.maximum.accumulate(np.where(new_session, place, 0))
    begin = np.maximum(begin, end - session.max_history)
    if session.window is not None:
        begin = np.maximum(begin, _first_since(lines, session.window * _MICROSECONDS))
    return begin, end


def _first_since(lines: _Ordered, microseconds: int) -> npt.NDArray[np.int64]:
    """The first line of each line's user that is no older than so long, [n]."""
    distinct, time = np.unique(lines.time, return_inverse=True)
    since = np.searchsorted(distinct, lines.time - microseconds)
    # User and time as one number that rises with the lines; times by their place, so that it fits 64 bits.
    user = lines.user * len(distinct)
    return np.searchsorted(user + time, user + since)


def _items_between(
    items: pa.Array, item: npt.NDArray[np.int64], *, begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64]
) -> pa.LargeListArray:
    """The items from begin to end, a list per range, `HISTORY_TYPE`."""
    places = item.astype(np.int32)[ranges(begin, end - begin)]
    found = pa.DictionaryArray.from_arrays(pa.array(places), items)
    return pa.LargeListArray.from_arrays(pa.array(offsets(end - begin)), found)


def with_own_items(pairs: pa.Table) -> pa.Table:
    """A part of a table of pairs, its histories' dictionary with no other items than theirs.

    Args:
        pairs: In session mode with a `history`, of type `HISTORY_TYPE`; else they are given back.
    """
    if "history" not in pairs.column_names:
        return pairs
    column = pairs.column_names.index("history")
    history = pairs.column(column).combine_chunks()
    items = history.flatten()
    places, codes = np.unique(items.indices.to_numpy(), return_inverse=True)
    own = pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), items.dictionary.take(pa.array(places)))
    lengths = pc.list_value_length(history).to_numpy()
    return pairs.set_column(column, "history", pa.LargeListArray.from_arrays(pa.array(offsets(lengths)), own))
