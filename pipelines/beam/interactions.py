"""From the log to its pairs: lines are read, validated, shuffled by query, and merged."""

from collections.abc import Iterable
from dataclasses import dataclass

import apache_beam as beam
import pyarrow as pa

from features.interactions import Window, raw_columns
from features.pairs import GROUPED_LINES
from features.pseudonyms import Pseudonyms
from features.spec import Spec
from features.split import TimeBounds
from pipelines.aggregation.batches import Batch
from pipelines.aggregation.input_files import InputFile
from pipelines.aggregation.log import LinesToShuffle, counts_by_item, merge_shard, validate_batch
from pipelines.aggregation.packing import Keyed, Packed, concat, pack, unpack
from pipelines.beam.counting import COUNTS, REJECTS, count, show
from pipelines.beam.shuffle import Grouped
from pipelines.beam.sources import read_source


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
    source = spec.sources.interactions
    columns = raw_columns(source)
    outputs = read_source(
        pipeline, "Log", files, columns, required=columns.names, time=source.timestamp
    ) | "ValidateLines" >> beam.ParDo(_ValidateLines(spec, window, pseudonyms)).with_outputs(
        REJECTS, COUNTS, main="lines"
    )
    lines = outputs["lines"] | "GroupEqualLines" >> beam.ParDo(_GroupEqualLines(shards))
    return ReadLog(lines, outputs[REJECTS], outputs[COUNTS])


class _ValidateLines(beam.DoFn):
    def __init__(self, spec: Spec, window: Window, pseudonyms: Pseudonyms) -> None:
        self._spec = spec
        self._window = window
        self._pseudonyms = pseudonyms

    def process(self, batch: Batch) -> Iterable[pa.Table]:
        valid = validate_batch(batch, self._spec, window=self._window, pseudonyms=self._pseudonyms)
        show("lines", batch.lines)
        yield count(valid.counts)
        if valid.rejected.num_rows:
            yield beam.pvalue.TaggedOutput(REJECTS, pack(valid.rejected))
        if valid.lines.num_rows:
            yield valid.lines


class _GroupEqualLines(beam.DoFn):
    def __init__(self, shards: int) -> None:
        self._shards = shards

    def start_bundle(self) -> None:
        self._lines = LinesToShuffle(self._shards)

    def process(self, lines: pa.Table) -> Iterable[Keyed]:
        yield from self._lines.add(lines)

    def finish_bundle(self) -> Iterable[beam.utils.windowed_value.WindowedValue]:
        for element in self._lines.flush():
            yield beam.transforms.window.GlobalWindows.windowed_value(element)


class MergeLines(beam.DoFn):
    """(shard, all its lines) -> (shard, its pairs), rejects and counts aside."""

    def __init__(self, spec: Spec, bounds: TimeBounds | None) -> None:
        self._spec = spec
        self._bounds = bounds

    def process(self, element: Grouped, known_items: Packed) -> Iterable[Keyed]:
        """Merges the lines of a shard of queries."""
        shard, lines = element
        known = unpack(known_items).column("id").combine_chunks()
        merged = merge_shard(concat(lines, GROUPED_LINES), self._spec, bounds=self._bounds, known_items=known)
        show("pairs", merged.pairs.num_rows)
        if merged.rejected.num_rows:
            yield beam.pvalue.TaggedOutput(REJECTS, pack(merged.rejected))
        yield count(merged.counts)
        yield shard, pack(merged.pairs)


class CountByItem(beam.DoFn):
    """(shard of queries, pairs) -> (shard of items, their training counts)."""

    def __init__(self, shards: int) -> None:
        self._shards = shards

    def process(self, element: Keyed) -> Iterable[Keyed]:
        """Counts, and takes apart by item."""
        yield from counts_by_item(unpack(element[1]), self._shards)
