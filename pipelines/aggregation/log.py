"""The log: batches of lines validated, equal lines put together by shard, all lines of a shard merged into pairs."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from features.interactions import LINES, Window, reject_bad_lines, validate_lines
from features.pairs import group_lines, merge_lines, train_counts
from features.pseudonyms import Pseudonyms
from features.sessions import session_examples
from features.spec import Spec
from features.split import SPLITS, TimeBounds
from pipelines.aggregation.batches import Batch
from pipelines.aggregation.packing import Keyed, key_by_shard
from pipelines.aggregation.unusable_files import count_in_file, expected_columns

ROWS_BEFORE_SHUFFLE = 1 << 19
"""Lines that are put together before they are shuffled: equal lines meet, and tables are few."""


@dataclass(frozen=True)
class ValidLines:
    """What became of a batch."""

    lines: pa.Table
    """Schema LINES."""
    rejected: pa.Table
    """Schema REJECTS."""
    counts: dict[str, int]


def validate_batch(batch: Batch, spec: Spec, *, window: Window, pseudonyms: Pseudonyms) -> ValidLines:
    """Keeps, filters or rejects each line of a batch, and counts."""
    outcome = validate_lines(
        batch.rows,
        batch.places,
        source=spec.sources.interactions,
        window=window,
        needs_time=spec.split.method == "time" or spec.session is not None or window != Window(),
    )
    rejected = pa.concat_tables([reject_bad_lines(batch.bad, batch.first_place), outcome.rejected])
    counts = {f"filtered/{rule}": lines for rule, lines in outcome.filtered.items()}
    if batch.blank:
        counts["filtered/blank"] = batch.blank
    counts["lines/read"] = batch.lines
    reasons = Counter(rejected.column("reason").to_pylist())
    counts |= {f"rejected/{reason}": lines for reason, lines in reasons.items()}
    expected = expected_columns(spec.sources.interactions)
    counts |= count_in_file(batch.file.path, batch.lines - batch.blank, reasons, expected)
    return ValidLines(pseudonyms.replace(outcome.kept), rejected, counts)


class LinesToShuffle:
    """Puts lines together before they are shuffled, so that equal ones meet."""

    def __init__(self, shards: int) -> None:
        self._shards = shards
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def add(self, lines: pa.Table) -> Iterator[Keyed]:
        """Takes lines, schema LINES; gives what has to go on."""
        self._waiting.append(lines)
        self._rows += lines.num_rows
        if self._rows >= ROWS_BEFORE_SHUFFLE:
            yield from self.flush()

    def flush(self) -> Iterator[Keyed]:
        """Gives all that waits: (shard of the query, schema GROUPED_LINES)."""
        grouped = group_lines(pa.concat_tables([LINES.empty_table(), *self._waiting]))
        self._waiting, self._rows = [], 0
        yield from key_by_shard(grouped, "query_id", self._shards)


@dataclass(frozen=True)
class MergedShard:
    """The pairs of a shard of queries."""

    pairs: pa.Table
    """Schema `pair_schema`."""
    rejected: pa.Table
    """Schema REJECTS."""
    counts: dict[str, int]


def merge_shard(lines: pa.Table, spec: Spec, *, bounds: TimeBounds | None, known_items: pa.Array) -> MergedShard:
    """Merges all lines of a shard, schema GROUPED_LINES, in session mode into examples, and counts."""
    make = merge_lines if spec.session is None else partial(session_examples, session=spec.session)
    merged = make(
        lines,
        split=spec.split,
        bounds=bounds,
        known_items=known_items,
        drop_duplicates=spec.sources.interactions.drop_duplicates,
    )
    counts = {f"filtered/{rule}": lines for rule, lines in merged.filtered.items()}
    unknown = sum(merged.rejected.column("lines").to_pylist())
    if unknown:
        counts["rejected/unknown_item"] = unknown
    kept = merged.pairs.filter(pc.invert(merged.pairs.column("thinned")))
    counts["lines/kept"] = sum(kept.column("count").to_pylist())
    for code, name in enumerate(SPLITS):
        counts[f"pairs/{name}"] = int((kept.column("split").to_numpy() == code).sum())
    return MergedShard(merged.pairs, merged.rejected, counts)


def counts_by_item(pairs: pa.Table, shards: int) -> Iterator[Keyed]:
    """The training counts of a shard's items, by the shard of the item: id, train_count, full_train_count."""
    counted = train_counts(pairs, "item_id").rename_columns(["id", "train_count", "full_train_count"])
    yield from key_by_shard(counted, "id", shards)
