"""The log: the columns that are read of it, and its lines validated, a batch at a time."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from features.data_window import DataWindow
from features.dataset import POSITIVE
from features.interactions import raw_columns, reject_bad_lines, validate_lines
from features.pseudonyms import Pseudonyms
from features.spec.spec import Spec
from features.split import TimeBounds
from pipelines.aggregation.absent_columns import count_present
from pipelines.aggregation.batches import Batch
from pipelines.aggregation.columns import Columns, feature_keys
from pipelines.aggregation.cut_off import count_cut_off
from pipelines.aggregation.other_events import count_other_events
from pipelines.aggregation.partition_lines import count_by_window
from pipelines.aggregation.unusable_files import count_in_file

EARLY = "lines/before_1990"
"""The count of valid lines of the window with so early a time."""
_1990 = pa.scalar(datetime(1990, 1, 1), pa.timestamp("us"))


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


def validate_batch(
    batch: Batch, spec: Spec, *, window: DataWindow, pseudonyms: Pseudonyms, bounds: TimeBounds | None
) -> ValidLines:
    """Keeps, filters or rejects each line of a batch, and counts."""
    outcome = validate_lines(
        batch.rows,
        batch.places,
        source=spec.sources.interactions,
        window=window,
        needs_time=spec.split.method == "time" or spec.session is not None or window.is_bounded,
        context=spec.sides["pair"],
        test_start=None if bounds is None else bounds.test_start,
    )
    rejected = pa.concat_tables([reject_bad_lines(batch.bad, batch.first_place), outcome.rejected])
    counts = {f"filtered/{rule}": lines for rule, lines in outcome.filtered.items()}
    if batch.blank:
        counts["filtered/blank"] = batch.blank
    counts["lines/read"] = batch.lines
    if early := pc.sum(pc.less(outcome.kept.column("timestamp"), _1990)).as_py():
        counts[EARLY] = early
    counts |= {f"{POSITIVE}{event}": lines for event, lines in outcome.positive.items()}
    counts |= count_other_events(outcome)
    reasons = Counter(rejected.column("reason").to_pylist())
    counts |= {f"rejected/{reason}": lines for reason, lines in reasons.items()}
    counts |= count_in_file(batch.file.path, batch.lines - batch.blank, source="log", rejected=reasons)
    counts |= count_cut_off(batch)
    if window.is_bounded:
        counts |= count_by_window(batch.file.path, inside=outcome.inside, outside=outcome.outside)
    counts |= count_present(batch.rows, "log", columns=log_columns(spec).optional)
    return ValidLines(pseudonyms.replace(outcome.kept), rejected, counts)
