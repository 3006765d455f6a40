"""`ssl-two-tower aggregate-spark`: the first half of a build on Spark, which `build-dataset --aggregated` takes up.

Works under spark-submit too: `spark-submit pipelines/spark/aggregate.py --spec ...`, where this package is installed.
"""

import sys
from argparse import ArgumentTypeError
from collections.abc import Sequence

from features.spec.file import load_spec
from pipelines.aggregation.bigquery import refuse_bigquery
from pipelines.aggregation.options import add_options
from pipelines.aggregation.plan import make_plan
from pipelines.build_report import print_report
from stage import extras
from stage.command_line import run_process
from stage.manifest import Manifest
from stage.output import give_way, refuse_taken, start_output
from stage.parser import Parser
from stage.probe import check_writable
from stage.progress import counters


def make_parser() -> Parser:
    """The command's flags."""
    parser = Parser(
        prog="ssl-two-tower aggregate-spark",
        description="Raw logs -> pairs, entities and mutual information, on Spark: the first half of build-dataset.",
        example="ssl-two-tower aggregate-spark --spec wikispeedia-links --raw RAW --output AGGREGATE",
    )
    add_options(parser, what="aggregate")
    parser.add_skip_done_option("aggregate")
    parser.add_argument(
        "--master",
        help="where Spark runs; by default as spark-submit or spark-defaults.conf says, else on this machine",
    )
    parser.add_argument(
        "--conf",
        metavar="KEY=VALUE",
        type=_setting,
        action="append",
        default=[],
        help="a setting of Spark's; may be repeated",
    )
    return parser


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ArgumentTypeError(f"expected KEY=VALUE, as in --conf spark.executor.memory=4g, got {text!r}")
    return key, value


def main(argv: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        StageError: If anything is wrong, in one line.
    """
    arguments = make_parser().parse_args(argv)
    spec = load_spec(arguments.spec, arguments.overrides, verb="aggregate-spark")
    refuse_bigquery(spec, verb="aggregate-spark")
    plan = make_plan(arguments, spec)
    made_from = plan.job.made_from
    if arguments.skip_done:
        done = Manifest.find_done(arguments.output, "aggregate", made_from=made_from)
        if done is not None:
            print(f"aggregate-spark: done before, in {arguments.output}", file=sys.stderr)
            print_report(done, arguments.output, as_json=arguments.json)
            return
    extras.require("spark", by="aggregate-spark")
    from pipelines.spark.job import aggregate  # noqa: PLC0415  (Spark is an extra)
    from pipelines.spark.session import start_spark  # noqa: PLC0415

    refuse_taken(arguments.output, "aggregate", overwrite=arguments.overwrite, made_from=made_from)
    check_writable(arguments.output)
    with counters.show("aggregate-spark"), start_spark(arguments.master, arguments.conf) as spark:
        # Only now: what is there goes.
        start_output(
            arguments.output,
            "aggregate",
            run_id=plan.job.target.run_id,
            overwrite=arguments.overwrite,
            made_from=made_from,
        )
        try:
            made = aggregate(spark, plan)
        except Exception:
            give_way(arguments.output, run_id=plan.job.target.run_id)
            raise
    print_report(made, arguments.output, as_json=arguments.json)


if __name__ == "__main__":
    run_process(main)
