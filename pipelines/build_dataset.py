r"""`ssl-two-tower build-dataset`: raw logs and tables -> a dataset directory, as one Beam job.

log    -> lines -> pairs ----------------------------------+-> train/ validation/ test/
                     |  \-> queries -+                      |
                     v               +-> transform -> halves +-> items/
tables -> items <- counts -----------+
            |-> mutual_information.json
pairs, queries, items -> statistics/

The first half, up to pairs, queries, items and mutual information, may come from `aggregate-spark` instead.
"""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.pvalue import AsList, AsSingleton

from features.made_under import dataset_done_from
from features.mutual_information import INFORMATION
from features.spec.difference import later_difference
from features.spec.file import load_spec
from features.spec.spec import Spec
from features.statistics.schema import Expected, load_expected
from pipelines.aggregation.bigquery import refuse_bigquery
from pipelines.aggregation.finished import FinishedAggregate, open_aggregate, take_up
from pipelines.aggregation.local_memory import check_memory
from pipelines.aggregation.options import job_options_of
from pipelines.aggregation.output import Target, write_content, write_entities
from pipelines.aggregation.plan import Plan, make_plan, refuse_spec_within
from pipelines.beam.aggregate import Aggregated, aggregate
from pipelines.beam.examples import write_examples
from pipelines.beam.finish import check_rejects, finish_dataset
from pipelines.beam.finished import read_aggregate
from pipelines.beam.options import parse_beam_flags
from pipelines.beam.record_files import write_corpus
from pipelines.beam.runner import describe_failure, run_pipeline
from pipelines.beam.sources import check_bigquery
from pipelines.beam.statistics import write_statistics
from pipelines.beam.transform import transform_entities
from pipelines.beam.union import union
from pipelines.build_options import make_parser
from pipelines.build_report import print_report
from pipelines.nightly_runs import find_baseline
from stage import manifest, storage
from stage.command_line import run_process
from stage.errors import StageError, UsageError
from stage.globs import is_pattern, rooted
from stage.interrupts import check_interrupted
from stage.manifest import Manifest
from stage.output import find_finished, give_way, refuse_unfinished, refuse_within, start_output
from stage.progress import counters
from stage.published import trained_on


@dataclass(frozen=True)
class Build:
    """One build, all that its graph depends on."""

    source: Plan | FinishedAggregate
    expected: Expected
    temporary: str
    """A directory that TensorFlow can write on every worker."""


def build_graph(pipeline: beam.Pipeline, build: Build) -> None:
    """The whole job."""
    job = build.source.job
    spec, target = job.spec, job.target
    found, checked = aggregate_checked(pipeline, build)
    pairs, items, queries, counts = found.pairs, found.items, found.queries, found.counts

    transformed = transform_entities(
        queries=queries, items=items, pairs=pairs, spec=spec, target=target, temporary=build.temporary
    )
    statistics = write_statistics(
        items=items,
        queries=queries,
        pairs=pairs,
        checked=checked,
        spec=spec,
        target=target,
        expected=build.expected,
    )
    written = (
        write_examples(pairs, found.hot, halves=transformed, job=job),
        transformed.items | "GroupItemHalves" >> beam.GroupByKey() | "WriteCorpus" >> beam.Map(write_corpus, target),
        items | "WriteItems" >> beam.Map(write_entities, target, table="items"),
        queries | "WriteQueries" >> beam.Map(write_entities, target, table="queries"),
        found.information
        | "WriteMutualInformation" >> beam.Map(write_content, INFORMATION, content="mutual_information", target=target),
        statistics,
        found.rejects,
    )
    _ = checked | "WriteManifest" >> beam.Map(
        finish_dataset,
        job,
        written=AsList(written | "AllWritten" >> union()),
        counts=AsSingleton(counts),
        transform=AsSingleton(transformed.written),
        temporary=build.temporary,
    )


def aggregate_checked(pipeline: beam.Pipeline, build: Build) -> tuple[Aggregated, beam.PCollection]:
    """The job's first half, made or read, and what to wait for until its rejects are found to be few enough."""
    if isinstance(build.source, FinishedAggregate):
        found = read_aggregate(pipeline, build.source)
    else:
        found = aggregate(pipeline, build.source)
    check = beam.Map(check_rejects, build.source.job, written=AsList(found.rejects))
    return found, found.counts | "CheckRejects" >> check


def plan_build(arguments: argparse.Namespace) -> Build:
    """Checks everything that can be checked before the job starts.

    Raises:
        StageError: If the spec, the window, the input or the output's name can't be used.
    """
    output = rooted(arguments.output)
    if is_pattern(arguments.output):
        raise UsageError(
            "--output: expected a path without *, ? and [, which TensorFlow and Beam take for a pattern, got "
            f"{arguments.output}"
        )
    refuse_within(arguments.output, arguments.baseline, named="--baseline")
    refuse_within(arguments.output, arguments.schema, named="--schema")
    refuse_within(arguments.output, arguments.aggregated, named="--aggregated")
    expected = load_expected(schema=arguments.schema, baseline=find_baseline(arguments.output, arguments.baseline))
    spec = load_spec(arguments.spec, arguments.overrides, verb="build-dataset")
    if arguments.aggregated is None:
        return _build_of(make_plan(arguments, spec), expected)
    refuse_spec_within(arguments.output, spec, source=arguments.spec)
    refuse_bigquery(spec, verb="aggregate-spark, whose output --aggregated takes")
    options = job_options_of(arguments)
    made = open_aggregate(arguments.aggregated, spec, job_options=options)
    target = Target(output, manifest.new_run_id(), arguments.shards or made.counts["shards"])
    aggregated = rooted(arguments.aggregated)
    return _build_of(take_up(aggregated, made, spec=spec, target=target, job_options=options), expected)


def _build_of(source: Plan | FinishedAggregate, expected: Expected) -> Build:
    job = replace(source.job, input_digests={**source.job.input_digests, **expected.digests})
    # Beside what is written: on a cluster, workers share no other place.
    temporary = storage.join(job.target.directory, f".{job.target.run_id}-tft")
    return Build(replace(source, job=job), expected, temporary)


def _find_done(arguments: argparse.Namespace, build: Build) -> tuple[Manifest, str] | None:
    """What `--skip-done` leaves of a finished dataset, and what is said of it.

    That is one made from the same, or one that a published model was trained on, of whatever input; then also why.

    Raises:
        StageError: If it is to be made again, but a published model was trained on it, or if a file of it is missing.
    """
    found = find_finished(arguments.output) if arguments.skip_done or arguments.published else None
    if found is None:
        return None
    made_from, unasked = dataset_done_from(build.source.job.made_from, found), _unnoticed(build)
    if arguments.skip_done and Manifest.find_done(arguments.output, "dataset", made_from=made_from):
        return found, unasked
    differs = f"; it was {differing}" if (differing := made_from.describe(found)) else ""
    if not arguments.skip_done:
        differs = differs or unasked
    model = trained_on(arguments.published, found) if arguments.published and differs else None
    if model is None:
        return None
    why, later = f"{model.directory}'s model was trained on it", "what has changed counts from the next dataset on"
    if not arguments.skip_done:
        raise StageError(f"{arguments.output}: {why}, so it must stay{differs}; {later}, or give another --output")
    found.check_files(arguments.output)
    return found, f"{differs}, but {why}, so it stays: {later}"


def _unnoticed(build: Build) -> str:
    """What may have changed unnoticed, behind what is done; empty where all input is files."""
    files = build.source.inputs.files if isinstance(build.source, Plan) else []
    names = [file.name for file in files if file.format == "bigquery"]
    return f"; BigQuery wasn't asked whether it has other rows now in {' or '.join(names)}" if names else ""


def main(argv: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        StageError: If anything is wrong, in one line.
    """
    parser = make_parser()
    arguments, rest = parser.parse_known_args(argv)
    options = parse_beam_flags(rest, parser)
    build = plan_build(arguments)
    if (found := _find_done(arguments, build)) is not None:
        _show_done(*found, arguments=arguments, spec=build.source.job.spec)
        return
    local = options.view_as(StandardOptions).runner is None
    if isinstance(build.source, Plan):
        check_bigquery(build.source.inputs, options)
    if local:
        check_memory(build.source.needed_bytes)
    elif not arguments.overwrite:
        refuse_unfinished(arguments.output)
    _start_output(arguments, build)
    _run(build, options, output=arguments.output, local=local)
    if local or Manifest.find(arguments.output) is not None:
        print_report(Manifest.read(arguments.output, "dataset"), arguments.output, as_json=arguments.json)
    else:
        # A template's launcher gets here as soon as the graph is written; the manifest is the job's own last step.
        print(f"submitted; {arguments.output} is a dataset once it holds {manifest.NAME}", file=sys.stderr)


def _show_done(done: Manifest, why: str, *, arguments: argparse.Namespace, spec: Spec) -> None:
    """Says that a dataset is done, and why, as `_find_done` has it; shows its counts."""
    print(f"build-dataset: done before, in {arguments.output}{why}", file=sys.stderr)
    if differing := later_difference(done, spec):
        print(
            f"warning: later stages take their settings from {arguments.output}, not from {arguments.spec}, unless "
            f"--set says otherwise: {differing}",
            file=sys.stderr,
        )
    print_report(done, arguments.output, as_json=arguments.json)


def _start_output(arguments: argparse.Namespace, build: Build) -> None:
    """Makes the output directory, or empties it for another run."""
    job = build.source.job
    finished = find_finished(arguments.output)
    made_from = job.made_from if finished is None else dataset_done_from(job.made_from, finished)
    run_id, overwrite = job.target.run_id, arguments.overwrite
    start_output(arguments.output, "dataset", run_id=run_id, overwrite=overwrite, made_from=made_from)


def _run(build: Build, options: PipelineOptions, *, output: str, local: bool) -> None:
    """Runs the job to its end, or hands it to its runner.

    Raises:
        StageError: If it fails, or another run has taken the output.
    """
    with contextlib.ExitStack() as stack:
        if local and "://" in output:
            build = replace(build, temporary=stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(counters.show("build-dataset"))
        try:
            run_pipeline(lambda pipeline: build_graph(pipeline, build), options, local=local)
        except Exception as error:
            # What an interrupt breaks, or another run by clearing the output, the runner may report as a failure.
            check_interrupted()
            if local:
                give_way(output, run_id=build.source.job.target.run_id)
            raise StageError(describe_failure(error)) from error


if __name__ == "__main__":
    run_process(main)
