"""Lines by shard: put together before they are shuffled, and all of a shard after that.

A shard of lines is one of (query, item), so that neither a query nor an item with half of all lines makes one large. In
session mode it is one of queries, since a user's lines make sense together alone.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.latest_lines import are_beyond_latest
from features.pairs import GROUPED_LINES, code_ids, group_lines, one_by_one
from features.raw_features import with_features
from features.shards import scatter_pairs
from features.spec.spec import Spec
from pipelines.aggregation import kinds
from pipelines.aggregation.busy_users import groups_of_parts, take_busy
from pipelines.aggregation.elements import Element, Grouped, counted, of_kind
from pipelines.aggregation.in_threads import InThreads
from pipelines.aggregation.packing import Packed, concat, key_by_shard, key_each, pack

OVER_MAX_LINES = "filtered/over_max_lines"
"""In session mode the count of lines beyond the latest of their user."""
MOST_ROWS_BEFORE_SHUFFLE = 1 << 19
ROWS_OF_A_TABLE = 1 << 14
"""So many lines a shard wait to be shuffled together, and no more than `MOST_ROWS_BEFORE_SHUFFLE` in all: tables that
are few, but parts that are small enough for threads to share the work while a log is read."""


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
            lines, busy = take_busy(without(lines, beyond), most=self._session.max_lines, shards=self._shards)
            yield from of_kind(kinds.BUSY, busy)
            yield from of_kind(kinds.LINES, key_by_shard(lines, "query_id", shards=self._shards))
        else:
            queries, items = (lines.column(name).combine_chunks() for name in ("query_id", "item_id"))
            yield from of_kind(kinds.LINES, key_each(lines, scatter_pairs(queries, items, shards=self._shards)))


def without(lines: pa.Table, dropped: npt.NDArray[np.bool_]) -> pa.Table:
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
    yield Element(kinds.LINES, (key // groups_of_parts(shards), pack(without(lines, beyond))))


def lines_of_shard(tables: Iterable[Packed], spec: Spec) -> pa.Table:
    """All lines of a shard, schema `shuffled_lines`, with their ids in dictionaries."""
    return code_ids(concat(tables, shuffled_lines(spec)))
