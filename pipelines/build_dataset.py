r"""`ssl-two-tower build-dataset`: raw logs and tables -> a dataset directory, as one Beam job.

log    -> lines -> pairs ----------------------------------+-> train/ validation/ test/
                     |  \-> queries -+                      |
                     v               +-> transform -> halves +-> items/
tables -> items <- counts -----------+
            |-> mutual_information.json
pairs, queries, items -> statistics/
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import apache_beam as beam
import pyarrow as pa
from apache_beam.options.pipeline_options import StandardOptions
from apache_beam.pvalue import AsList, AsSingleton

from features.interactions import Window
from features.pseudonyms import Pseudonyms, load_pseudonyms
from features.spec import Spec
from features.spec_file import load_spec
from features.split import TimeBounds, time_bounds
from features.statistics_schema import Expected, load_expected
from pipelines.aggregation.inputs import Inputs, find_inputs, window_of
from pipelines.aggregation.output import Target
from pipelines.aggregation.packing import Keyed, Packed, pack, unpack
from pipelines.aggregation.tables import raw_tables
from pipelines.beam.counting import COUNTS, REJECTS, SumCounts
from pipelines.beam.entities import JoinItems, JoinQueries, ReadTable, read_table
from pipelines.beam.finish import CheckRejects, Job, WriteManifest
from pipelines.beam.interactions import CountByItem, MergeLines, read_log
from pipelines.beam.local_runner import describe_failure, run_pipeline
from pipelines.beam.mutual_information import MutualInformation
from pipelines.beam.options import parse_beam_flags
from pipelines.beam.shuffle import Gather
from pipelines.beam.sinks import (
    HALVES,
    WriteBytes,
    WriteCorpus,
    WriteEntities,
    WriteExamples,
    WriteRejects,
)
from pipelines.beam.sources import match_files
from pipelines.beam.statistics import write_statistics
from pipelines.beam.transform import transform_entities
from pipelines.beam.union import Union
from pipelines.build_report import print_report
from stage import manifest
from stage.command_line import Parser, run_command
from stage.errors import StageError, UsageError
from stage.manifest import Manifest
from stage.progress import counters

_IDS = pa.schema([("id", pa.string())])


@dataclass(frozen=True)
class Build:
    """One build, all that its graph depends on."""

    spec: Spec
    inputs: Inputs
    target: Target
    window: Window
    bounds: TimeBounds | None
    pseudonyms: Pseudonyms
    job_options: dict[str, str | None]
    expected: Expected


def build_graph(pipeline: beam.Pipeline, build: Build) -> None:
    """The whole job."""
    spec, target, inputs = build.spec, build.target, build.inputs
    job = Job(target, spec, build.job_options, tuple(inputs.tables), {"raw": inputs.digest, **build.expected.digests})

    log = read_log(pipeline, inputs.log, spec, window=build.window, shards=target.shards, pseudonyms=build.pseudonyms)
    tables = {
        name: read_table(pipeline, table, inputs.tables[name], shards=target.shards, pseudonyms=build.pseudonyms)
        for name, table in raw_tables(spec).items()
    }
    item_rows = tables["items"].entities["item"]
    query_rows = _query_rows(pipeline, tables)

    known_items = item_rows | "ItemIds" >> beam.Map(_ids).with_output_types(Packed) | "GatherItemIds" >> Gather(_IDS)
    merged = (
        log.lines
        | "GroupLinesByQuery" >> beam.GroupByKey()
        | "MergeLines"
        >> beam.ParDo(MergeLines(spec, build.bounds), known_items=AsSingleton(known_items)).with_outputs(
            REJECTS, COUNTS, main="pairs"
        )
    )
    pairs = merged["pairs"]
    item_counts = pairs | "CountByItem" >> beam.ParDo(CountByItem(target.shards))
    joined = (
        {"rows": item_rows, "counts": item_counts}
        | "GroupItems" >> beam.CoGroupByKey()
        | "JoinItems" >> beam.ParDo(JoinItems(spec.item, inputs.names)).with_outputs(COUNTS, main="items")
    )
    items = joined["items"]
    queries = (
        {"rows": query_rows, "pairs": pairs}
        | "GroupQueries" >> beam.CoGroupByKey()
        | "JoinQueries" >> beam.ParDo(JoinQueries(spec.query, inputs.names))
    )

    counts = (
        (log.counts, merged[COUNTS], joined[COUNTS], *(table.counts for table in tables.values()))
        | "AllCounts" >> beam.Flatten()
        | "SumCounts" >> SumCounts()
    )
    rejects = (
        (log.rejects, merged[REJECTS], *(table.rejects for table in tables.values()))
        | "AllRejects" >> beam.Flatten()
        | "KeyRejects" >> beam.Map(_key_rejects, target.shards).with_output_types(Keyed)
        | "GroupRejects" >> beam.GroupByKey()
        | "WriteRejects"
        >> beam.ParDo(WriteRejects(target, inputs.names, keep_content=spec.sources.rejects == "content"))
    )
    checked = counts | "CheckRejects" >> beam.ParDo(CheckRejects(job), written=AsList(rejects))

    transformed = transform_entities(queries=queries, items=items, spec=spec, target=target)
    item_halves = (
        transformed.items
        | "ItemHalves" >> beam.Values().with_output_types(Packed)
        | "GatherItemHalves" >> Gather(HALVES)
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
    information = items | "MutualInformation" >> MutualInformation(spec, target.shards)
    written = (
        {"pairs": pairs, "queries": transformed.queries}
        | "GroupPairsAndQueries" >> beam.CoGroupByKey()
        | "WriteExamples" >> beam.ParDo(WriteExamples(target), items=AsSingleton(item_halves)),
        transformed.items | "GroupItemHalves" >> beam.GroupByKey() | "WriteCorpus" >> beam.ParDo(WriteCorpus(target)),
        items | "WriteItems" >> beam.ParDo(WriteEntities(target, "items")),
        queries | "WriteQueries" >> beam.ParDo(WriteEntities(target, "queries")),
        information | "WriteMutualInformation" >> WriteBytes(target, "mutual_information.json", "mutual_information"),
        statistics,
        rejects,
    )
    _ = checked | "WriteManifest" >> beam.ParDo(
        WriteManifest(job),
        written=AsList(written | "AllWritten" >> Union()),
        counts=AsSingleton(counts),
        transform=AsSingleton(transformed.written),
    )


def _query_rows(pipeline: beam.Pipeline, tables: dict[str, ReadTable]) -> beam.PCollection:
    for table in tables.values():
        if "query" in table.entities:
            return table.entities["query"]
    return pipeline | "NoQueryTable" >> beam.Create([]).with_output_types(Keyed)


def _key_rejects(rejects: Packed, shards: int) -> Keyed:
    return unpack(rejects).column("place")[0].as_py() % shards, rejects


def _ids(element: Keyed) -> Packed:
    return pack(unpack(element[1]).select(["id"]))


def make_parser() -> Parser:
    """The command's flags; Beam's own come beside them."""
    parser = Parser(
        prog="ssl-two-tower build-dataset",
        description="Builds a dataset out of raw logs, as one Beam job. Takes Beam's flags too; runs here by default.",
        example="ssl-two-tower build-dataset --spec wikispeedia-links --raw RAW --output DATASET",
    )
    parser.add_argument("--spec", required=True, help="a shipped spec's name, or a path to a YAML file")
    parser.add_argument("--raw", help="directory that the spec's relative paths lie under, local or gs://")
    parser.add_argument("--output", required=True, help="directory to write the dataset to, local or gs://")
    parser.add_argument("--overwrite", action="store_true", help="replace a finished dataset")
    parser.add_argument("--shards", type=int, help="files per split; by default from the size of the input")
    parser.add_argument("--data-start", metavar="TIME", help="take lines from here on (ISO 8601, UTC)")
    parser.add_argument("--data-end", metavar="TIME", help="take lines before here (ISO 8601, UTC)")
    parser.add_argument("--test-start", metavar="TIME", help="first instant of the test split (split.method time)")
    parser.add_argument("--schema", metavar="FILE", help="hold the data to this schema, such as another dataset's")
    parser.add_argument(
        "--baseline", metavar="DATASET", help="hold the data to this dataset's schema and distributions"
    )
    parser.add_argument("--json", action="store_true", help="print the manifest instead of a table")
    parser.add_set_option()
    return parser


def plan_build(arguments: argparse.Namespace) -> Build:
    """Checks everything that can be checked before the job starts.

    Raises:
        StageError: If the spec, the window or the input can't be used.
    """
    spec = load_spec(arguments.spec, arguments.overrides, verb="build-dataset")
    start, end = window_of(arguments.data_start, arguments.data_end)
    if (start is not None or end is not None) and spec.sources.interactions.timestamp is None:
        raise UsageError("--data-start, --data-end: the log has no sources.interactions.timestamp")
    inputs = find_inputs(spec, arguments.raw, start=start, end=end, match=match_files)
    return Build(
        spec=spec,
        inputs=inputs,
        target=Target(arguments.output, manifest.new_run_id(), inputs.shards(arguments.shards)),
        window=Window(start, end),
        bounds=time_bounds(spec.split, arguments.test_start),
        pseudonyms=load_pseudonyms(spec.sources.pseudonymise),
        job_options={name: getattr(arguments, name) for name in ("data_start", "data_end", "test_start")},
        expected=load_expected(schema=arguments.schema, baseline=arguments.baseline),
    )


def main(argv: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        StageError: If anything is wrong, in one line.
    """
    parser = make_parser()
    arguments, rest = parser.parse_known_args(argv)
    options = parse_beam_flags(rest, parser)
    build = plan_build(arguments)
    local = options.view_as(StandardOptions).runner is None
    if local:
        build.inputs.check_memory()
    manifest.start_output(arguments.output, overwrite=arguments.overwrite)
    with counters.show("build-dataset"):
        try:
            run_pipeline(lambda pipeline: build_graph(pipeline, build), options, local=local)
        except Exception as error:
            raise StageError(describe_failure(error)) from error
    if local or Manifest.find(arguments.output) is not None:
        print_report(Manifest.read(arguments.output, "dataset"), arguments.output, as_json=arguments.json)
    else:
        # A template's launcher gets here as soon as the graph is written; the manifest is the job's own last step.
        print(f"submitted; {arguments.output} is a dataset once it holds {manifest.NAME}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run_command(main))
