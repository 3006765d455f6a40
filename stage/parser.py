"""What every command line takes: the flags that several commands have, --set, and did-you-mean."""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from stage.errors import UsageError, did_you_mean

VERBOSE = "--verbose"
_LIKE_ANOTHER_LIBRARYS = 0.8
"""Of flags that count as misspelt: --json is like --zone by 0.67, --runer like --runner by 0.94."""
_SURELY = 0.9
"""Of flags that must have been meant: --seed is like --seeds by 0.92, like --spec by 0.67."""


class UnknownArgument(UsageError):  # noqa: N818  (what it is of)
    """An argument that nothing takes, and that is no flag with a letter too few or too many."""

    def __init__(self, argument: str, advice: str) -> None:
        """Makes its message.

        Args:
            argument: As it was given, without a value.
            advice: Follows it.
        """
        super().__init__(f"unknown argument {argument}{advice}")
        self.argument = argument


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors name the nearest flag, and which never guesses an abbreviation."""

    def __init__(self, *, prog: str, description: str, example: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self._words: list[str] = []
        self.add_switch(VERBOSE, help="show the logs of the libraries, and tracebacks")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does it, but --verbose never takes the next word, such as convert's SOURCE, for its value."""
        words = sys.argv[1:] if args is None else args
        self._words = [f"{VERBOSE}=true" if word == VERBOSE else word for word in words]
        found, others = super().parse_known_args(self._words, namespace)
        for action in self._actions:
            if action.option_strings and getattr(found, action.dest, None) == "":
                flag = action.option_strings[-1]
                raise UsageError(f"{flag}: expected a value, got an empty one, as of a shell variable that isn't set")
        return found, others

    def print_help(self, file: Any = None) -> None:
        """As argparse does it, but a stdout that takes nothing is an error."""
        print(self.format_help(), end="", file=file)

    def error(self, message: str) -> NoReturn:
        """Raises instead of printing the usage.

        Raises:
            UsageError: Always.
        """
        unknown = re.match(r"unrecognized arguments: (.*)", message)
        if unknown:
            self.refuse_unknown(unknown.group(1).split())
        missing = re.match(r"the following arguments are required: (.*)", message)
        if missing:
            self._refuse_misspelt(missing.group(1).split(", "))
        raise UsageError(f"{message} (see {self.prog} --help)")

    def _refuse_misspelt(self, missing: Sequence[str]) -> None:
        """Refuses a flag that is none but nearly one of those that are missing, as what is wrong."""
        for flag in (word.split("=")[0] for word in self._words if word.startswith("--")):
            if flag not in self._option_string_actions and did_you_mean(flag, missing, otherwise=""):
                self.refuse_unknown([flag])

    def refuse_unknown(self, arguments: Sequence[str], also_known: Sequence[str] = ()) -> NoReturn:
        """Refuses the first of the arguments that nothing takes.

        Args:
            arguments: What was left over after parsing.
            also_known: Flags that this parser doesn't declare but the command takes, such as Beam's.

        Raises:
            UsageError: Always; UnknownArgument, unless it is empty or surely misspelt.
        """
        argument = next((a for a in arguments if a.startswith("-")), next(filter(None, arguments), ""))
        first, is_assigned, _ = argument.partition("=")
        if not first:
            raise UsageError(f"got an empty argument, as of a shell variable that isn't set; see {self.prog} --help")
        known = {flag for action in self._actions for flag in action.option_strings}
        if misspelt := did_you_mean(first, known, otherwise="", likeness=_SURELY):
            raise UsageError(f"unknown argument {first}{misspelt}")
        advice = f"; see {self.prog} --help"
        if "--set" in known and "." in first and (is_assigned or first.startswith("-")):
            advice = f"; a key of the spec is set by --set {first.lstrip('-')}=VALUE, each by a --set of its own"
        elif first.startswith("-"):
            # Beam has so many flags that some is a little like anything.
            advice = did_you_mean(first, also_known, otherwise=advice, likeness=_LIKE_ANOTHER_LIBRARYS)
            advice = did_you_mean(first, known, otherwise=advice)
        raise UnknownArgument(first, advice)

    def add_set_option(self, sections: Sequence[str], *, example: str = "ssl.alpha=0") -> None:
        """Adds `--set key=value`, which may be given many times.

        Args:
            sections: Of the spec, those that the command takes.
            example: An override that it takes.
        """
        of = f"a section that this command reads ({', '.join(sections)})"

        def assignment(text: str) -> str:
            if "=" not in text:
                raise argparse.ArgumentTypeError(f"expected KEY=VALUE, as in --set {example}, got '{text}'")
            return text

        self.add_argument(
            "--set",
            metavar="KEY=VALUE",
            type=assignment,
            action="append",
            default=[],
            dest="overrides",
            help=f"override a key of {of}, as in --set {example}; may be repeated",
        )

    def add_switch(self, flag: str, *, help: str) -> None:
        """Adds a flag that is there or not, or has the value true or false, as a template's parameters all have one."""
        self.add_argument(flag, nargs="?", const=True, default=False, type=_truth, metavar="true", help=help)

    def add_skip_done_option(self, what: str) -> None:
        """Adds `--skip-done`, for what is made again and again by a scheduler that may not know that it is there."""
        self.add_switch(
            "--skip-done", help=f"leave a finished {what} of the same spec, options and input as it is, exit code 0"
        )

    def add_published_option(self) -> None:
        """Adds `--to`, the directory of published models."""
        self.add_argument(
            "--to",
            metavar="P",
            required=True,
            help="directory of published models, local or gs://; what gate and train take as --published",
        )

    def add_verify_option(self) -> None:
        """Adds `--verify`, for what `Manifest.read` opens."""
        self.add_argument("--verify", action="store_true", help="compare the SHA-256 of every file that is read")


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"expected true or false, got '{text}'")
    return text.lower() == "true"
