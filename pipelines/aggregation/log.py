"""The log: batches of lines validated, put together by shard, all lines of a shard merged into pairs.

A shard of lines is one of (query, item), so that neither a query nor an item with half of all lines makes one large. In
session mode it is one of queries, since a user's lines make sense together alone.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.data_window import DataWindow
from features.dataset import POSITIVE
from features.interactions import raw_columns, reject_bad_lines, validate_lines
from features.latest_lines import are_beyond_latest
from features.pairs import (
    GROUPED_LINES,
    cap_pairs,
    code_ids,
    group_lines,
    merge_lines,
    one_by_one,
    pair_counts,
    unknown_items,
)
from features.pseudonyms import Pseudonyms
from features.raw_features import with_features
from features.sessions import session_pairs
from features.shards import scatter_pairs
from features.spec.spec import Spec
from features.split import SPLITS, TimeBounds
from features.sums import total
from pipelines.aggregation import kinds
from pipelines.aggregation.absent_columns import count_present
from pipelines.aggregation.batches import Batch
from pipelines.aggregation.busy_users import groups_of_parts, take_busy
from pipelines.aggregation.columns import Columns, feature_keys
from pipelines.aggregation.elements import Element, Grouped, counted, of_kind
from pipelines.aggregation.in_threads import InThreads
from pipelines.aggregation.packing import Keyed, Packed, concat, key_by_shard, key_each, pack
from pipelines.aggregation.partitions import count_by_window
from pipelines.aggregation.unusable_files import count_in_file

EARLY = "lines/before_1990"
"""The count of valid lines of the window with so early a time."""
OVER_MAX_LINES = "filtered/over_max_lines"
"""In session mode the count of lines beyond the latest of their user."""
_1990 = pa.scalar(datetime(1990, 1, 1), pa.timestamp("us"))
MOST_ROWS_BEFORE_SHUFFLE = 1 << 19
ROWS_OF_A_TABLE = 1 << 14
"""So many lines a shard wait to be shuffled together, and no more than `MOST_ROWS_BEFORE_SHUFFLE` in all: tables that
are few, but parts that are small enough for threads to share the work while a log is read."""


def log_columns(spec: Spec) -> Columns:
    """Those of the log; a line's time and context may be absent."""
    source, context = spec.sources.interactions, spec.sides["pair"]
    named = {f"sources.interactions.{key}": getattr(source, key) for key in ("query_id", "item_id", "event")}
    required = {key: column for key, column in named.items() if column is not None}
    times = {} if source.timestamp is None else {"sources.interactions.timestamp": source.timestamp}
    optional = times | feature_keys("session.context.features", context)
    return Columns(raw_columns(source, context), required | times, source.timestamp, optional)


@dataclass(frozen=True)
class ValidLines:
    """What became of a batch."""

    lines: pa.Table
    """Schema LINES, in session mode with the context's columns."""
    rejected: pa.Table
    """Schema REJECTS."""
    counts: dict[str, int]


def validate_batch(batch: Batch, spec: Spec, *, window: DataWindow, pseudonyms: Pseudonyms) -> ValidLines:
    """Keeps, filters or rejects each line of a batch, and counts."""
    outcome = validate_lines(
        batch.rows,
        batch.places,
        source=spec.sources.interactions,
        window=window,
        needs_time=spec.split.method == "time" or spec.session is not None or window.is_bounded,
        context=spec.sides["pair"],
    )
    rejected = pa.concat_tables([reject_bad_lines(batch.bad, batch.first_place), outcome.rejected])
    counts = {f"filtered/{rule}": lines for rule, lines in outcome.filtered.items()}
    if batch.blank:
        counts["filtered/blank"] = batch.blank
    counts["lines/read"] = batch.lines
    if early := pc.sum(pc.less(outcome.kept.column("timestamp"), _1990)).as_py():
        counts[EARLY] = early
    counts |= {f"{POSITIVE}{event}": lines for event, lines in outcome.positive.items()}
    reasons = Counter(rejected.column("reason").to_pylist())
    counts |= {f"rejected/{reason}": lines for reason, lines in reasons.items()}
    counts |= count_in_file(batch.file.path, batch.lines - batch.blank, source="log", rejected=reasons)
    if window.is_bounded:
        counts |= count_by_window(batch.file.path, inside=outcome.inside, outside=outcome.outside)
    counts |= count_present(batch.rows, "log", columns=log_columns(spec).optional)
    return ValidLines(pseudonyms.replace(outcome.kept), rejected, counts)


class LinesToShuffle:
    """Puts lines together before they are shuffled, in threads, while the next are read.

    In a log without times a pair that comes again is an equal line, of which one is sent with their number, so that no
    pair makes a shard large. Lines with times are hardly ever equal: to find those that are is left to the merge. In
    session mode lines are left out that are beyond the latest of their user already, and those of busy users are apart.
    """

    def __init__(self, spec: Spec, shards: int) -> None:
        self._session, self._shards = spec.session, shards
        self._repeats = spec.sources.interactions.timestamp is None
        self._enough = min(shards * ROWS_OF_A_TABLE, MOST_ROWS_BEFORE_SHUFFLE)
        self._waiting: list[pa.Table] = []
        self._rows = 0
        self._parts = InThreads[list[Element]]()
        self._beyond: list[int] = []

    @property
    def counts(self) -> dict[str, int]:
        """Of lines left out, once all is flushed."""
        return +Counter({OVER_MAX_LINES: sum(self._beyond)})

    def add(self, lines: pa.Table) -> Iterator[Element]:
        """Takes lines, schema LINES and the context's columns; gives what has to go on."""
        self._waiting.append(lines)
        self._rows += lines.num_rows
        if self._rows >= self._enough:
            yield from self._shard_waiting()

    def flush(self) -> Iterator[Element]:
        """Gives all that is left, once."""
        if self._waiting:
            yield from self._shard_waiting()
        yield from chain.from_iterable(self._parts.end())

    def _shard_waiting(self) -> Iterator[Element]:
        lines = pa.concat_tables(self._waiting)
        self._waiting, self._rows = [], 0
        yield from chain.from_iterable(self._parts.begin(lambda: [*self._shard(lines)]))

    def _shard(self, lines: pa.Table) -> Iterator[Element]:
        lines = one_by_one(lines)
        if self._repeats:
            lines = group_lines(lines)
        if self._session is not None:
            beyond = are_beyond_latest(lines, self._session.max_lines)
            self._beyond.append(int(beyond.sum()))
            lines, busy = take_busy(_without(lines, beyond), most=self._session.max_lines, shards=self._shards)
            yield from of_kind(kinds.BUSY, busy)
            yield from of_kind(kinds.LINES, key_by_shard(lines, "query_id", shards=self._shards))
        else:
            queries, items = (lines.column(name).combine_chunks() for name in ("query_id", "item_id"))
            yield from of_kind(kinds.LINES, key_each(lines, scatter_pairs(queries, items, shards=self._shards)))


def _without(lines: pa.Table, dropped: npt.NDArray[np.bool_]) -> pa.Table:
    """The other lines, without a copy if none is dropped."""
    return lines.filter(pa.array(~dropped)) if dropped.any() else lines


def shuffled_lines(spec: Spec) -> pa.Schema:
    """Columns of the lines that are shuffled: GROUPED_LINES, in session mode with those of the context."""
    return with_features(GROUPED_LINES, spec.sides["pair"])


def latest_of_busy(element: Grouped, spec: Spec, *, shards: int) -> Iterator[Element]:
    """Some parts' lines of busy users, BUSY, all of a key -> their latest, LINES by their shard, COUNTS.

    Args:
        element: Keyed as `take_busy` does.
        spec: The dataset's spec, in session mode.
        shards: How many there are.
    """
    assert spec.session is not None
    key, tables = element
    lines = concat(tables, shuffled_lines(spec))
    beyond = are_beyond_latest(lines, spec.session.max_lines)
    yield counted(+Counter({OVER_MAX_LINES: int(beyond.sum())}))
    yield Element(kinds.LINES, (key // groups_of_parts(shards), pack(_without(lines, beyond))))


def lines_of_shard(tables: Iterable[Packed], spec: Spec) -> pa.Table:
    """All lines of a shard, schema `shuffled_lines`, with their ids in dictionaries."""
    return code_ids(concat(tables, shuffled_lines(spec)))


@dataclass(frozen=True)
class MergedShard:
    """The pairs of a shard of lines."""

    pairs: pa.Table
    """Schema `pair_schema`."""
    rejected: pa.Table
    """Schema REJECTS."""
    counts: dict[str, int]
    """Of the lines that are in no pair."""


def merge_shard(
    lines: pa.Table, spec: Spec, *, bounds: TimeBounds | None, known: pa.ChunkedArray | pa.BooleanArray
) -> MergedShard:
    """Merges all lines of a shard, in session mode into examples, and counts those that go.

    Args:
        lines: As `lines_of_shard` gives them.
        spec: The dataset's spec.
        bounds: For a split by time.
        known: Whether the item of each line is in the item table.
    """
    counts: Counter[str] = Counter()
    if spec.session is not None:
        beyond = are_beyond_latest(lines, spec.session.max_lines)
        counts[OVER_MAX_LINES] = int(beyond.sum())
        lines, known = _without(lines, beyond), known.filter(pa.array(~beyond))
    rejected = unknown_items(lines.filter(pc.invert(known)))
    make = (
        partial(merge_lines, queries_are_items=spec.sources.queries == "items")
        if spec.session is None
        else partial(session_pairs, session=spec.session)
    )
    merged = make(
        # A filter copies, though mostly all items are known.
        lines if pc.all(known).as_py() else lines.filter(known),
        split=spec.split,
        bounds=bounds,
        drop_duplicates=spec.sources.interactions.drop_duplicates,
    )
    # What a part of a query's pairs has beyond the cap is beyond it in the whole, too, and isn't shuffled.
    pairs, over_cap = cap_shard(merged.rows, spec)
    counts.update({f"filtered/{rule}": lines for rule, lines in merged.filtered.items()} | over_cap)
    counts["rejected/unknown_item"] = total(rejected.column("lines"))
    return MergedShard(pairs, rejected, +counts)


def caps_apart(spec: Spec) -> bool:
    """Whether the cap needs another step, in which the pairs of a query meet that come from several shards."""
    return spec.split.max_train_pairs_per_query is not None and spec.session is None


def to_cap(pairs: pa.Table, shards: int) -> tuple[Iterable[Keyed], pa.Table]:
    """The training pairs, which the cap is for, by the shard of their query; and the others."""
    training = pc.equal(pairs.column("split"), SPLITS.index("train"))
    return key_by_shard(pairs.filter(training), "query_id", shards=shards), pairs.filter(pc.invert(training))


def cap_shard(pairs: pa.Table, spec: Spec) -> tuple[pa.Table, dict[str, int]]:
    """The pairs within the cap, if the spec has one, and the count of lines that go."""
    capped = cap_pairs(pairs, spec.split)
    return capped.rows, {f"filtered/{rule}": lines for rule, lines in capped.filtered.items()}


def count_by_split(pairs: pa.Table) -> dict[str, int]:
    """Counts pairs that no step drops any more, and their lines."""
    thinned = pairs.column("thinned")
    kept = pairs.filter(pc.invert(thinned))
    counts = {f"pairs/{name}": int((kept.column("split").to_numpy() == code).sum()) for code, name in enumerate(SPLITS)}
    counts["lines/kept"] = total(kept.column("count"))
    if lines := total(pairs.filter(thinned).column("count")):
        counts["filtered/thinned"] = lines
    return counts


def counts_by(id_column: str, pairs: pa.Table, *, shards: int) -> Iterator[Keyed]:
    """The counts of pairs of each query or item, schema COUNTED, by the shard of its id."""
    counted = pair_counts(pairs, id_column).rename_columns({id_column: "id"})
    yield from key_by_shard(counted, "id", shards=shards)
