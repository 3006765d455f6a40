"""What one aggregation depends on, out of its options: all that can be checked before a job starts."""

import argparse
import sys
from dataclasses import dataclass
from datetime import UTC, datetime

from features.data_window import DataWindow, hold_splits_to_window, window_of
from features.pseudonyms import Pseudonyms, load_pseudonyms
from features.spec.file import path_of
from features.spec.spec import Spec
from features.split import TimeBounds, time_bounds
from pipelines.aggregation.inputs import Inputs, find_inputs
from pipelines.aggregation.item_join import choose_join
from pipelines.aggregation.job import Job
from pipelines.aggregation.named_columns import check_named_columns
from pipelines.aggregation.options import job_options_of
from pipelines.aggregation.output import Target
from pipelines.aggregation.partitions import tell_days_off
from pipelines.aggregation.table_day import tell_table_days
from stage.errors import UsageError
from stage.globs import rooted
from stage.instant import to_microseconds
from stage.manifest import new_run_id
from stage.output import refuse_within


@dataclass(frozen=True)
class Plan:
    """One aggregation."""

    job: Job
    inputs: Inputs
    window: DataWindow
    bounds: TimeBounds | None
    pseudonyms: Pseudonyms

    @property
    def needed_bytes(self) -> int:
        """Peak memory of a local build, about."""
        return self.inputs.needed_bytes


def refuse_spec_within(output: str, spec: Spec, *, source: str) -> None:
    """Refuses an output that would take the spec's file with it, or that of its key.

    Args:
        output: The output directory.
        spec: The dataset's spec.
        source: As `load_spec` was given it.

    Raises:
        UsageError: If one of them lies there.
    """
    refuse_within(output, path_of(source), named="--spec")
    pseudonymise = spec.sources.pseudonymise
    if pseudonymise is not None:
        refuse_within(output, pseudonymise.key_file, named="sources.pseudonymise.key_file")


def make_plan(arguments: argparse.Namespace, spec: Spec) -> Plan:
    """Checks everything that can be checked before the job starts; stderr says which partition of a table is read.

    And it warns of a window that ends in the future.

    Args:
        arguments: As the flags of `add_options` are parsed.
        spec: The one that they name.

    Raises:
        StageError: If the window or the input can't be used.
    """
    options = job_options_of(arguments)
    window = window_of(options)
    if window.is_bounded and spec.sources.interactions.timestamp is None:
        raise UsageError("--data-start, --data-end: the log has no sources.interactions.timestamp")
    bounds = time_bounds(spec.split, arguments.test_start)
    hold_splits_to_window(window, bounds)
    if window.end is not None and window.end > to_microseconds(datetime.now(UTC)):
        print(
            f"warning: --data-end: {arguments.data_end} is in the future; once its model is published, none whose data "
            "ends earlier can be",
            file=sys.stderr,
        )
    raw = None if arguments.raw is None else rooted(arguments.raw)
    inputs = find_inputs(spec, raw, window=window)
    refuse_spec_within(arguments.output, spec, source=arguments.spec)
    refuse_within(arguments.output, arguments.raw, named="--raw")
    for name, files in {"interactions": inputs.log, **inputs.tables}.items():
        paths = [file.path for file in files if file.format != "bigquery"]
        refuse_within(arguments.output, *paths, named=f"sources.{name}.path")
    tell_days_off(inputs.partitions)
    tell_table_days(inputs.table_days, spec.sources, end=window.end)
    column_hints = check_named_columns(inputs, spec)
    target = Target(rooted(arguments.output), new_run_id(), inputs.shards(arguments.shards))
    pseudonyms = load_pseudonyms(spec.sources.pseudonymise)
    job = Job(
        spec,
        target,
        job_options=options,
        input_digests={"raw": inputs.digest, **pseudonyms.digests},
        item_join=choose_join(spec.sources.item_join, inputs.item_bytes),
        partitions=inputs.partitions,
        table_days={table: found.day for table, found in inputs.table_days.items()},
        column_hints=column_hints,
    )
    return Plan(job, inputs, window=window, bounds=bounds, pseudonyms=pseudonyms)
