"""From raw rows of a log to its lines: each validated, and kept, filtered or rejected by a named rule."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.data_window import DataWindow
from features.flags import flags_of
from features.ids import are_bad, are_missing
from features.parsing.parsed_lines import BadLine
from features.parsing.truth_values import with_truth_values
from features.raw_features import raw_features, with_feature_columns, with_features
from features.row_content import content_of
from features.spec.features import Side
from features.spec.sources import InteractionSource
from features.times import parse_times

LINES = pa.schema(
    [
        ("query_id", pa.string()),
        ("item_id", pa.string()),
        ("event", pa.string()),
        ("timestamp", pa.timestamp("us")),
        ("place", pa.int64()),
    ]
)
"""One row per kept line. `timestamp` is UTC, may be null; `place` is where the line stands (`features.places`).

In session mode with a column more for each feature of the line's context (`features.raw_features.with_features`)."""


@dataclass
class Outcome:
    """What became of a batch of lines: read = kept + filtered + rejected."""

    kept: pa.Table
    """Schema LINES."""
    rejected: pa.Table
    """Schema REJECTS."""
    filtered: Counter[str] = field(default_factory=Counter)
    """Rule -> lines."""
    positive: dict[str, int] = field(default_factory=dict)
    """Positive event that the spec lists -> lines that have it, whatever became of them."""
    inside: int = 0
    """Lines that aren't rejected and lie in the window, whatever their event."""
    outside: int = 0
    """Those that lie outside."""
    others: dict[str, int] = field(default_factory=dict)
    """Where there are positive events, but no good line of the batch has one: the commonest others -> their lines."""
    positive_in_test: int = 0
    """Where there are positive events: good lines of the test split's time that have one."""
    others_in_test: dict[str, int] = field(default_factory=dict)
    """The commonest other events of good lines of that time -> their lines."""


REJECTS = pa.schema([("reason", pa.string()), ("place", pa.int64()), ("lines", pa.int64()), ("content", pa.binary())])
"""One row per rejected line, or per pair with its lines and their first place. `content` may be null."""


def raw_columns(source: InteractionSource, context: Side) -> pa.Schema:
    """A raw log's columns that are read, as readers of all formats take them; a context's may be absent."""
    columns = {name: pa.field(name, pa.string()) for name in (source.query_id, source.item_id)}
    if source.event is not None:
        columns[source.event] = with_truth_values(pa.field(source.event, pa.string()))
    if source.timestamp is not None:
        kind = pa.string() if source.timestamp_unit == "iso" else pa.float64()
        columns[source.timestamp] = pa.field(source.timestamp, kind)
    return with_feature_columns(pa.schema(columns.values()), context)


def validate_lines(
    rows: pa.RecordBatch,
    places: npt.NDArray[np.int64],
    *,
    source: InteractionSource,
    window: DataWindow,
    needs_time: bool,
    context: Side,
    test_start: int | None,
) -> Outcome:
    """Holds each row to the rules for a line, the first broken one being its reason.

    Args:
        rows: Columns as `raw_columns` has them; n rows.
        places: int64 [n], where each stands.
        source: How the log is written.
        window: Lines outside are filtered.
        needs_time: Whether a line without a time is rejected.
        context: In session mode, what is kept of a line beside; none of it rejects the line.
        test_start: Where a split by time begins its test, UTC microseconds; every line has a time then.
    """
    lines, broken = _read_rows(rows, places, source=source, needs_time=needs_time, context=context)
    rejected = np.logical_or.reduce(list(broken.values()))
    outside = _outside(lines["timestamp"], window)
    outcome = Outcome(
        kept=pa.Table.from_batches([lines]),
        rejected=_rejects(lines, rows, broken=broken, rejected=rejected),
        inside=int((~rejected & ~outside).sum()),
        outside=int((~rejected & outside).sum()),
    )
    kept = ~rejected
    if source.positive_events and source.event is not None:
        late = None if test_start is None else kept & ~outside & _is_from(lines["timestamp"], test_start)
        other = _tell_events(outcome, lines["event"], listed=source.positive_events, good=kept, late=late)
        outcome.filtered["not_positive"] = int((kept & other).sum())
        kept &= ~other
    if (kept & outside).any():
        outcome.filtered["outside_window"] = int((kept & outside).sum())
        kept &= ~outside
    if not kept.all():
        outcome.kept = outcome.kept.filter(pa.array(kept))
    return outcome


def _read_rows(
    rows: pa.RecordBatch, places: npt.NDArray[np.int64], *, source: InteractionSource, needs_time: bool, context: Side
) -> tuple[pa.RecordBatch, dict[str, npt.NDArray[np.bool_]]]:
    """The rows in schema LINES, and rule -> whether a row breaks it, in the order in which rules are told."""
    broken: dict[str, npt.NDArray[np.bool_]] = {}
    for name, column in (("query_id", source.query_id), ("item_id", source.item_id)):
        broken[f"missing_{name}"] = are_missing(rows.column(column))
        broken[f"bad_{name}"] = are_bad(rows.column(column))
    event: pa.Array = pa.nulls(rows.num_rows, pa.string())
    if source.event is not None:
        event = rows.column(source.event)
        broken["missing_event"] = are_missing(event)
    time: pa.Array = pa.nulls(rows.num_rows, pa.timestamp("us"))
    if source.timestamp is not None:
        raw = rows.column(source.timestamp)
        time = parse_times(raw, source)
        absent = are_missing(raw) if pa.types.is_string(raw.type) else flags_of(raw.is_null())
        broken["bad_timestamp"] = flags_of(time.is_null()) & ~absent
        if needs_time:
            broken["missing_timestamp"] = absent
    columns = [rows.column(source.query_id), rows.column(source.item_id), event, time, pa.array(places)]
    columns += raw_features(rows, context).values()
    return pa.RecordBatch.from_arrays(columns, schema=with_features(LINES, context)), broken


def _tell_events(
    outcome: Outcome,
    event: pa.Array,
    *,
    listed: list[str],
    good: npt.NDArray[np.bool_],
    late: npt.NDArray[np.bool_] | None,
) -> npt.NDArray[np.bool_]:
    """Counts events for people; returns whether a line has none of the listed ones.

    Args:
        outcome: Gets the counts.
        event: [n].
        listed: The positive events.
        good: bool [n], whether a line isn't rejected.
        late: bool [n], whether a good line lies in the window and the test split's time; None: no split by time.
    """
    names = list(dict.fromkeys(listed))
    place = pc.fill_null(pc.index_in(event, pa.array(names)), len(names)).to_numpy()
    lines = np.bincount(place, minlength=len(names) + 1).tolist()
    other = place == len(names)
    outcome.positive = dict(zip(names, lines, strict=False))
    if not (good & ~other).any():
        outcome.others = _commonest(event.filter(pa.array(good)))
    if late is not None:
        outcome.positive_in_test = int((late & ~other).sum())
        outcome.others_in_test = _commonest(event.filter(pa.array(late & other)))
    return other


def _commonest(events: pa.Array) -> dict[str, int]:
    """The commonest events, so many as are told of all -> lines."""
    counted = sorted((-one["counts"], one["values"]) for one in pc.value_counts(events).to_pylist())
    return {event: -lines for lines, event in counted[:TOLD_EVENTS]}


def reject_bad_lines(bad: list[BadLine], first_place: int) -> pa.Table:
    """Lines that gave no row, schema REJECTS.

    Args:
        bad: As a reader of any format found them.
        first_place: That of the first line that was read with them, which their offsets count from.
    """
    return pa.table(
        [
            pa.array([line.reason for line in bad], pa.string()),
            pa.array([first_place + line.offset for line in bad], pa.int64()),
            pa.array([1] * len(bad), pa.int64()),
            pa.array([line.content[:MAX_KEPT_CONTENT] for line in bad], pa.binary()),
        ],
        schema=REJECTS,
    )


MAX_KEPT_CONTENT = 4096
"""Bytes of a rejected line that rejects/ shows."""
TOLD_EVENTS = 3
"""So many events that aren't positive are named, so that a column of nothing but different texts takes no memory."""


def _outside(time: pa.Array, window: DataWindow) -> npt.NDArray[np.bool_]:
    outside = np.zeros(len(time), bool)
    micros = time.cast(pa.int64())
    if window.start is not None:
        outside |= flags_of(pc.fill_null(pc.less(micros, window.start), False))
    if window.end is not None:
        outside |= flags_of(pc.fill_null(pc.greater_equal(micros, window.end), False))
    return outside


def _is_from(time: pa.Array, start: int) -> npt.NDArray[np.bool_]:
    return flags_of(pc.fill_null(pc.greater_equal(time.cast(pa.int64()), start), False))


def _rejects(
    lines: pa.RecordBatch,
    rows: pa.RecordBatch,
    *,
    broken: dict[str, npt.NDArray[np.bool_]],
    rejected: npt.NDArray[np.bool_],
) -> pa.Table:
    if not rejected.any():
        return REJECTS.empty_table()
    mask = pa.array(rejected)
    places = lines.column("place").filter(mask)
    content = [row[:MAX_KEPT_CONTENT] for row in content_of(rows.filter(mask))]
    first = np.argmax([rule[rejected] for rule in broken.values()], axis=0)
    reasons = pa.array(list(broken), pa.string()).take(pa.array(first))
    return pa.table([reasons, places, pa.array([1] * len(content)), content], schema=REJECTS)
