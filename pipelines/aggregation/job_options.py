"""The options that a build depends on beside its spec: the window of the log, and where the test split begins."""

import argparse

from stage.parser import Parser

_NAMES = ("data_start", "data_end", "test_start")


def add_job_options(parser: Parser) -> None:
    """Adds their flags."""
    parser.add_argument("--data-start", metavar="TIME", help="take lines from here on (ISO 8601, UTC)")
    parser.add_argument("--data-end", metavar="TIME", help="take lines before here (ISO 8601, UTC)")
    parser.add_argument("--test-start", metavar="TIME", help="first instant of the test split (split.method time)")


def job_options_of(arguments: argparse.Namespace) -> dict[str, str | None]:
    """The options by name, as a manifest records them; None: not given."""
    return {name: getattr(arguments, name) for name in _NAMES}
