"""From the log to its pairs: lines are read, shuffled, merged, and capped."""

from dataclasses import dataclass
from functools import partial

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from features.data_window import DataWindow
from features.pseudonyms import Pseudonyms
from features.spec.spec import Spec
from features.split import TimeBounds
from pipelines.aggregation import kinds, steps
from pipelines.aggregation.input_files import InputFile
from pipelines.aggregation.item_join import IDS, lacking_items, want_items
from pipelines.aggregation.lines_to_shuffle import latest_of_busy
from pipelines.aggregation.log import log_columns
from pipelines.aggregation.merging import caps_apart
from pipelines.aggregation.plan import Plan
from pipelines.beam.gather import gather
from pipelines.beam.sources import read_source
from pipelines.beam.steps import outputs, outputs_in_bundles, outputs_in_threads
from pipelines.beam.union import union


@dataclass(frozen=True)
class ReadLog:
    """What reading a log gives."""

    lines: beam.PCollection
    rejects: beam.PCollection
    counts: list[beam.PCollection]


def read_log(
    pipeline: beam.Pipeline,
    files: list[InputFile],
    *,
    spec: Spec,
    window: DataWindow,
    shards: int,
    pseudonyms: Pseudonyms,
    bounds: TimeBounds | None,
) -> ReadLog:
    """Reads, validates and shards the lines of a log."""
    validate = partial(steps.ValidateLines, spec, window=window, pseudonyms=pseudonyms, shards=shards, bounds=bounds)
    read = read_source(pipeline, "Log", files=files, columns=log_columns(spec)) | "ValidateLines" >> outputs_in_bundles(
        validate, kinds.LINES, kinds.BUSY, kinds.REJECTS, kinds.COUNTS
    )
    lines, counts = read[kinds.LINES], [read[kinds.COUNTS]]
    if spec.session is not None:
        latest = (
            read[kinds.BUSY]
            | "GroupBusyUsers" >> beam.GroupByKey()
            | "LatestOfBusyUsers"
            >> outputs(partial(latest_of_busy, spec=spec, shards=shards), kinds.LINES, kinds.COUNTS)
        )
        lines = (lines, latest[kinds.LINES]) | "AllLines" >> union()
        counts.append(latest[kinds.COUNTS])
    return ReadLog(lines, read[kinds.REJECTS], counts)


def merge_log(
    lines: beam.PCollection, item_ids: beam.PCollection, *, plan: Plan
) -> tuple[beam.PCollection, beam.PCollection, list[beam.PCollection]]:
    """Merges the lines of each pair.

    Returns:
        The pairs; rejects; collections of counts.
    """
    spec, shards = plan.job.spec, plan.job.target.shards
    grouped, known = {kinds.LINES: lines}, {}
    if plan.job.item_join == "side_input":
        known["known"] = AsSingleton(item_ids | "GatherItemIds" >> gather(IDS))
    else:
        wanted = lines | "WantItems" >> beam.FlatMap(want_items, shards)
        grouped[kinds.LACKING] = (
            {kinds.WANTED: wanted, kinds.ITEM_IDS: item_ids}
            | "GroupWantedItems" >> beam.CoGroupByKey()
            | "LackingItems" >> beam.FlatMap(lacking_items)
        )
    # A CoGroupByKey even of one collection: it hands on lists. What a GroupByKey hands on may ask the runner for more
    # as it is read, which only the step's own thread can, and shards are merged in others.
    merge = partial(steps.merge, spec=spec, bounds=plan.bounds, shards=shards)
    merged = (
        grouped
        | "GroupLines" >> beam.CoGroupByKey()
        | "MergeLines" >> outputs_in_threads(merge, kinds.PAIRS, kinds.TO_CAP, kinds.REJECTS, kinds.COUNTS, **known)
    )
    pairs, counts = merged[kinds.PAIRS], [merged[kinds.COUNTS]]
    if caps_apart(spec):
        capped = (
            merged[kinds.TO_CAP]
            | "GroupTrainingPairs" >> beam.GroupByKey()
            | "CapPairs" >> outputs(partial(steps.cap, spec=spec), kinds.PAIRS, kinds.COUNTS)
        )
        pairs = (pairs, capped[kinds.PAIRS]) | "AllPairs" >> union()
        counts.append(capped[kinds.COUNTS])
    return pairs, merged[kinds.REJECTS], counts
