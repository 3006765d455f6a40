"""The options of a build beside Beam's and Spark's: its spec and its directories, and those that a manifest records."""

import argparse

from features.spec.sections_read import SECTIONS_READ
from stage.job_options import TIMES
from stage.parser import Parser
from stage.whole_number import whole_number


def add_options(parser: Parser, *, what: str) -> None:
    """Adds the flags that a plan is made of.

    Args:
        parser: The command's.
        what: What the command leaves.
    """
    parser.add_argument("--spec", required=True, help="a shipped spec's name, or a path to a YAML file")
    parser.add_argument("--raw", help="directory that the spec's relative paths lie under, local or gs://")
    parser.add_argument("--output", required=True, help=f"directory to write the {what} to, local or gs://")
    parser.add_switch(
        "--overwrite", help=f"replace a finished {what}, which goes when the new one begins, not when it stands"
    )
    add_job_options(parser)
    parser.add_argument("--json", action="store_true", help="print the manifest instead of a table")
    parser.add_set_option(SECTIONS_READ["build-dataset"], example="split.train_fraction=0.1")


def add_job_options(parser: Parser) -> None:
    """Adds those of how many shards, the window of the log, and where the test split begins."""
    parser.add_argument("--shards", type=whole_number(1), help="files per split; by default from the size of the input")
    parser.add_argument(
        "--data-start", metavar="TIME", help="take lines from here on (ISO 8601, UTC unless it names a zone)"
    )
    parser.add_argument(
        "--data-end", metavar="TIME", help="take lines before here (ISO 8601, UTC unless it names a zone)"
    )
    parser.add_argument(
        "--test-start",
        metavar="TIME",
        help="first instant of the test split (ISO 8601, UTC unless it names a zone; split.method time)",
    )


def job_options_of(arguments: argparse.Namespace) -> dict[str, str | None]:
    """Those that the result depends on, by name, as a manifest records them; None: not given."""
    return {name: getattr(arguments, name) for name in TIMES}
