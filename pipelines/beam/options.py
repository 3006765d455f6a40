"""Beam's own flags beside ours: known ones are taken, unknown ones refused."""

import argparse
from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from stage.errors import UsageError, did_you_mean
from stage.parser import Parser


def parse_beam_flags(flags: Sequence[str], parser: Parser) -> PipelineOptions:
    """Makes Beam's options out of what our own parser left.

    Raises:
        UsageError: If neither knows a flag, or one of Beam's lacks its value or has a wrong one, such as no runner.
    """
    beams = _beam_parser()
    try:
        known, unknown = beams.parse_known_args(list(flags))
    except argparse.ArgumentError as error:
        parser.error(str(error))
    if unknown:
        parser.refuse_unknown(unknown, also_known=[f for action in beams._actions for f in action.option_strings])
    _refuse_unknown_runner(known.runner)
    return PipelineOptions(list(flags))


def _refuse_unknown_runner(name: str | None) -> None:
    """Beam itself would, when an output to be overwritten is gone already. A name with a dot is a class of its own."""
    runners = StandardOptions.KNOWN_RUNNER_NAMES
    if name is None or "." in name:
        return
    if f"{name.lower().removesuffix('runner')}runner" not in [runner.lower() for runner in runners]:
        raise UsageError(f"--runner: no runner '{name}'{did_you_mean(name, runners)}")


def _beam_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        add_help=False, allow_abbrev=False, exit_on_error=False, conflict_handler="resolve"
    )
    waiting: list[type[PipelineOptions]] = list(PipelineOptions.__subclasses__())
    while waiting:
        options = waiting.pop()
        waiting += options.__subclasses__()
        options._add_argparse_args(parser)
    # Arguments that a runner requires are its own to ask for.
    for action in parser._actions:
        action.required = False
    return parser
