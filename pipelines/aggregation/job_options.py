"""The options of a build beside its spec: how many shards, the window of the log, where the test split begins."""

import argparse

from stage.job_options import TIMES
from stage.parser import Parser
from stage.whole_number import whole_number


def add_job_options(parser: Parser) -> None:
    """Adds their flags."""
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
