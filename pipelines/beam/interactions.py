"""From the log to its pairs: lines are read, validated, shuffled by query, and merged."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import apache_beam as beam
import pyarrow as pa

from features.interactions import LINES, Window, raw_columns, reject_bad_lines, validate_lines
from features.pairs import GROUPED_LINES, group_lines, merge_lines, train_counts
from features.pseudonyms import Pseudonyms
from features.spec import Spec
from features.split import SPLITS, TimeBounds
from pipelines.aggregation.reading import Batch, InputFile, ranges_of
from pipelines.aggregation.unusable_files import count_in_file, expected_columns
from pipelines.beam.counting import COUNTS, REJECTS, count, show
from pipelines.beam.shuffle import Grouped, Keyed, Packed, concat, key_by_shard, pack, unpack
from pipelines.beam.sources import ReadBatches

ROWS_BEFORE_SHUFFLE = 1 << 19
"""Lines that are put together before they are shuffled: equal lines meet, and tables are few."""


@dataclass(frozen=True)
class ReadLog:
    """What reading a log gives."""

    lines: beam.PCollection
    """Keyed by the shard of the query, schema GROUPED_LINES."""
    rejects: beam.PCollection
    counts: beam.PCollection


def read_log(
    pipeline: beam.Pipeline, files: list[InputFile], spec: Spec, *, window: Window, shards: int, pseudonyms: Pseudonyms
) -> ReadLog:
    """Reads, validates and shards the lines of a log."""
    columns = raw_columns(spec.sources.interactions)
    outputs = (
        pipeline
        | "LogRanges" >> beam.Create(ranges_of(files))
        | "SpreadLogRanges" >> beam.Reshuffle()
        | "ReadLog"
        >> beam.ParDo(ReadBatches(columns, required=columns.names, time=spec.sources.interactions.timestamp))
        | "ValidateLines"
        >> beam.ParDo(_ValidateLines(spec, window, pseudonyms)).with_outputs(REJECTS, COUNTS, main="lines")
    )
    lines = outputs["lines"] | "GroupEqualLines" >> beam.ParDo(_GroupEqualLines(shards))
    return ReadLog(lines, outputs[REJECTS], outputs[COUNTS])


class _ValidateLines(beam.DoFn):
    def __init__(self, spec: Spec, window: Window, pseudonyms: Pseudonyms) -> None:
        self._spec = spec
        self._window = window
        self._pseudonyms = pseudonyms

    def process(self, batch: Batch) -> Iterable[pa.Table]:
        outcome = validate_lines(
            batch.rows,
            batch.places,
            source=self._spec.sources.interactions,
            window=self._window,
            needs_time=self._spec.split.method == "time" or self._window != Window(),
        )
        show("lines", batch.lines)
        rejected = pa.concat_tables([reject_bad_lines(batch.bad, batch.first_place), outcome.rejected])
        counts = {f"filtered/{rule}": lines for rule, lines in outcome.filtered.items()}
        if batch.blank:
            counts["filtered/blank"] = batch.blank
        counts["lines/read"] = batch.lines
        reasons = Counter(rejected.column("reason").to_pylist())
        counts |= {f"rejected/{reason}": lines for reason, lines in reasons.items()}
        expected = expected_columns(self._spec.sources.interactions)
        yield count(counts | count_in_file(batch.file.path, batch.lines - batch.blank, reasons, expected))
        if rejected.num_rows:
            yield beam.pvalue.TaggedOutput(REJECTS, pack(rejected))
        if outcome.kept.num_rows:
            yield self._pseudonyms.replace(outcome.kept)


class _GroupEqualLines(beam.DoFn):
    def __init__(self, shards: int) -> None:
        self._shards = shards

    def start_bundle(self) -> None:
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def process(self, lines: pa.Table) -> Iterable[Keyed]:
        self._waiting.append(lines)
        self._rows += lines.num_rows
        if self._rows >= ROWS_BEFORE_SHUFFLE:
            yield from self._flush()

    def finish_bundle(self) -> Iterable[beam.utils.windowed_value.WindowedValue]:
        for element in self._flush():
            yield beam.transforms.window.GlobalWindows.windowed_value(element)

    def _flush(self) -> Iterable[Keyed]:
        grouped = group_lines(pa.concat_tables([LINES.empty_table(), *self._waiting]))
        self._waiting, self._rows = [], 0
        yield from key_by_shard(grouped, "query_id", self._shards)


class MergeLines(beam.DoFn):
    """(shard, all its lines) -> (shard, its pairs), rejects and counts aside."""

    def __init__(self, spec: Spec, bounds: TimeBounds | None) -> None:
        self._spec = spec
        self._bounds = bounds

    def process(self, element: Grouped, known_items: Packed) -> Iterable[Keyed]:
        """Merges the lines of a shard of queries."""
        shard, lines = element
        merged = merge_lines(
            concat(lines, GROUPED_LINES),
            split=self._spec.split,
            bounds=self._bounds,
            known_items=unpack(known_items).column("id").combine_chunks(),
            drop_duplicates=self._spec.sources.interactions.drop_duplicates,
        )
        show("pairs", merged.pairs.num_rows)
        counts = {f"filtered/{rule}": lines for rule, lines in merged.filtered.items()}
        unknown = sum(merged.rejected.column("lines").to_pylist())
        if unknown:
            counts["rejected/unknown_item"] = unknown
            yield beam.pvalue.TaggedOutput(REJECTS, pack(merged.rejected))
        kept = merged.pairs.filter(pa.compute.invert(merged.pairs.column("thinned")))
        counts["lines/kept"] = sum(kept.column("count").to_pylist())
        for code, name in enumerate(SPLITS):
            counts[f"pairs/{name}"] = int((kept.column("split").to_numpy() == code).sum())
        yield count(counts)
        yield shard, pack(merged.pairs)


class CountByItem(beam.DoFn):
    """(shard of queries, pairs) -> (shard of items, their training counts)."""

    def __init__(self, shards: int) -> None:
        self._shards = shards

    def process(self, element: Keyed) -> Iterable[Keyed]:
        """Counts, and takes apart by item."""
        counted = train_counts(unpack(element[1]), "item_id").rename_columns(["id", "train_count", "full_train_count"])
        yield from key_by_shard(counted, "id", self._shards)
