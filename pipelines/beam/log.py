"""From the log to its pairs: lines are read, validated, shuffled, merged, and capped."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsSingleton, TaggedOutput

from features.interactions import Window
from features.pairs import PAIRS
from features.pseudonyms import Pseudonyms
from features.spec.spec import Spec
from features.split import TimeBounds
from pipelines.aggregation.batches import Batch
from pipelines.aggregation.in_threads import InThreads
from pipelines.aggregation.input_files import InputFile
from pipelines.aggregation.item_join import IDS, is_known, lacking_items, want_items
from pipelines.aggregation.log import (
    Busy,
    LinesToShuffle,
    cap_shard,
    caps_apart,
    count_by_split,
    counts_by,
    latest_of_busy,
    lines_of_shard,
    log_columns,
    merge_shard,
    to_cap,
    validate_batch,
)
from pipelines.aggregation.packing import Keyed, Packed, concat, pack, unpack
from pipelines.aggregation.plan import Plan
from pipelines.beam.bundle_end import Last, give_last
from pipelines.beam.counting import COUNTS, REJECTS, count
from pipelines.beam.shuffle import CoGrouped, Grouped, gather
from pipelines.beam.sources import read_source
from pipelines.beam.union import union
from stage.progress import counters

_OTHERS, _BUSY = "others", "busy"


@dataclass(frozen=True)
class ReadLog:
    """What reading a log gives."""

    lines: beam.PCollection
    """By shard, as `LinesToShuffle` makes them, schema `shuffled_lines`."""
    rejects: beam.PCollection
    counts: list[beam.PCollection]


def read_log(
    pipeline: beam.Pipeline, files: list[InputFile], *, spec: Spec, window: Window, shards: int, pseudonyms: Pseudonyms
) -> ReadLog:
    """Reads, validates and shards the lines of a log."""
    batches = read_source(pipeline, "Log", files=files, columns=log_columns(spec))
    validate = beam.FlatMap(_validate_lines, spec, window=window, pseudonyms=pseudonyms)
    outputs = batches | "ValidateLines" >> validate.with_outputs(REJECTS, COUNTS, main="lines")
    group = beam.ParDo(_GroupEqualLines(spec, shards)).with_output_types(Keyed)
    grouped = outputs["lines"] | "GroupEqualLines" >> group.with_outputs(COUNTS, _BUSY, main="lines")
    lines, counts = grouped["lines"], [outputs[COUNTS], grouped[COUNTS]]
    if spec.session is not None:
        latest = (
            grouped[_BUSY]
            | "GroupBusyUsers" >> beam.GroupByKey()
            | "LatestOfBusyUsers"
            >> beam.FlatMap(_latest_of_busy, spec, shards=shards).with_outputs(COUNTS, main="lines")
        )
        lines = (lines, latest["lines"]) | "AllLines" >> union()
        counts.append(latest[COUNTS])
    return ReadLog(lines, outputs[REJECTS], counts)


def _validate_lines(batch: Batch, spec: Spec, *, window: Window, pseudonyms: Pseudonyms) -> Iterable[pa.Table]:
    valid = validate_batch(batch, spec, window=window, pseudonyms=pseudonyms)
    counters.add("lines", batch.lines)
    yield count(valid.counts)
    if valid.rejected.num_rows:
        yield TaggedOutput(REJECTS, pack(valid.rejected))
    if valid.lines.num_rows:
        yield valid.lines


class _GroupEqualLines(beam.DoFn):
    def __init__(self, spec: Spec, shards: int) -> None:
        self._spec, self._shards = spec, shards

    def start_bundle(self) -> None:
        self._lines = LinesToShuffle(self._spec, self._shards)

    def process(self, lines: pa.Table) -> Iterable[Keyed | TaggedOutput]:
        return map(_tagged, self._lines.add(lines))

    def finish_bundle(self) -> Iterable[Last]:
        return give_last(self._flush())

    def _flush(self) -> Iterator[Keyed | TaggedOutput]:
        yield from map(_tagged, self._lines.flush())
        yield count(self._lines.counts)


def _tagged(element: Keyed | Busy) -> Keyed | TaggedOutput:
    return TaggedOutput(_BUSY, element.keyed) if isinstance(element, Busy) else element


def _latest_of_busy(element: Grouped, spec: Spec, *, shards: int) -> Iterable[Keyed | TaggedOutput]:
    lines, counts = latest_of_busy(*element, spec=spec, shards=shards)
    yield from lines
    yield count(counts)


def merge_log(
    lines: beam.PCollection, item_rows: beam.PCollection, *, plan: Plan
) -> tuple[beam.PCollection, beam.PCollection, list[beam.PCollection]]:
    """Merges the lines of each pair.

    Args:
        lines: Keyed as `LinesToShuffle` does, schema `shuffled_lines`.
        item_rows: Keyed by the shard of the item.
        plan: The aggregation.

    Returns:
        The pairs, schema `pair_schema`, all of a pair in one element; rejects; collections of counts.
    """
    spec, shards = plan.job.spec, plan.job.target.shards
    ids = item_rows | "ItemIds" >> beam.Map(_ids).with_output_types(Keyed)
    grouped, known = {"lines": lines}, {}
    if plan.job.item_join == "side_input":
        gathered = ids | "ItemIdsAlone" >> beam.Values().with_output_types(Packed) | "GatherItemIds" >> gather(IDS)
        known["known"] = AsSingleton(gathered)
    else:
        wanted = lines | "WantItems" >> beam.FlatMap(want_items, shards).with_output_types(Keyed)
        grouped["lacking"] = (
            {"wanted": wanted, "known": ids}
            | "GroupWantedItems" >> beam.CoGroupByKey()
            | "LackingItems" >> beam.FlatMap(_lacking).with_output_types(Keyed)
        )
    # A CoGroupByKey even of one collection: it hands on lists. What a GroupByKey hands on may ask the runner for more
    # as it is read, which only the step's own thread can, and shards are merged in others.
    merged = (
        grouped
        | "GroupLines" >> beam.CoGroupByKey()
        | "MergeLines" >> beam.ParDo(MergeLines(spec, plan.bounds), **known).with_outputs(REJECTS, COUNTS, main="pairs")
    )
    if not caps_apart(spec):
        return merged["pairs"], merged[REJECTS], [merged[COUNTS]]
    parts = merged["pairs"] | "ToCap" >> beam.FlatMap(_to_cap, shards).with_outputs(_OTHERS, main="training")
    capped = (
        parts["training"]
        | "GroupTrainingPairs" >> beam.GroupByKey()
        | "CapPairs" >> beam.FlatMap(_cap_pairs, spec).with_outputs(COUNTS, main="pairs")
    )
    pairs = (parts[_OTHERS], capped["pairs"]) | "AllPairs" >> union()
    return pairs, merged[REJECTS], [merged[COUNTS], capped[COUNTS]]


class MergeLines(beam.DoFn):
    """(shard, all its lines, perhaps the items that it lacks) -> (shard, its pairs), rejects and counts aside.

    Shards are merged in threads, so what comes of one may be given with a later one, or at the end.
    """

    def __init__(self, spec: Spec, bounds: TimeBounds | None) -> None:
        self._spec = spec
        self._bounds = bounds

    def start_bundle(self) -> None:
        """Begins anew."""
        self._shards = InThreads[list[Keyed]]()

    def process(self, element: CoGrouped, known: Packed | None = None) -> Iterable[Keyed]:
        """Merges the lines of a shard."""
        yield from chain.from_iterable(self._shards.begin(lambda: [*self._merge(element, known)]))

    def finish_bundle(self) -> Iterable[Last]:
        """Gives what is left."""
        return give_last(chain.from_iterable(self._shards.end()))

    def _merge(self, element: CoGrouped, known: Packed | None) -> Iterator[Keyed]:
        shard, found = element
        lines = lines_of_shard(found["lines"], self._spec)
        is_item = is_known(lines, known=known, lacking=found.get("lacking", []))
        merged = merge_shard(lines, self._spec, bounds=self._bounds, known=is_item)
        counters.add("pairs", merged.pairs.num_rows)
        if merged.rejected.num_rows:
            yield TaggedOutput(REJECTS, pack(merged.rejected))
        yield count(merged.counts)
        if merged.pairs.num_rows:
            yield shard, pack(merged.pairs)


def _to_cap(element: Keyed, shards: int) -> Iterable[Keyed]:
    shard, packed = element
    training, others = to_cap(unpack(packed), shards)
    yield from training
    if others.num_rows:
        yield TaggedOutput(_OTHERS, (shard, pack(others)))


def _cap_pairs(element: Grouped, spec: Spec) -> Iterable[Keyed]:
    shard, tables = element
    pairs, counts = cap_shard(concat(tables, PAIRS), spec)
    yield count(counts)
    yield shard, pack(pairs)


def count_pairs(element: Keyed, shards: int) -> Iterable[TaggedOutput]:
    """Counts the pairs that no step drops any more.

    Yields:
        Their counts, those of items by the shard of the item, and of queries by the shard of the query.
    """
    pairs = unpack(element[1])
    yield count(count_by_split(pairs))
    for side in ("item", "query"):
        for counted in counts_by(f"{side}_id", pairs, shards=shards):
            yield TaggedOutput(side, counted)


def _ids(element: Keyed) -> Keyed:
    shard, rows = element
    return shard, pack(unpack(rows).select(IDS.names))


def _lacking(element: CoGrouped) -> Iterable[Keyed]:
    _, found = element
    return lacking_items(found["wanted"], found["known"])
