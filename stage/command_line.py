"""What every command line has: did-you-mean, --set, exit codes, quiet logs, signals."""

import argparse
import contextlib
import logging
import os
import re
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from stage.errors import Interrupted, StageError, UsageError, did_you_mean
from stage.lean_keras import keep_keras_lean

VERBOSE = "--verbose"


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
        self.add_switch(VERBOSE, help="show the logs of the libraries, and tracebacks")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does it, but --verbose never takes the next word, such as convert's SOURCE, for its value."""
        words = sys.argv[1:] if args is None else args
        return super().parse_known_args([f"{VERBOSE}=true" if word == VERBOSE else word for word in words], namespace)

    def error(self, message: str) -> NoReturn:
        """Raises instead of printing the usage.

        Raises:
            UsageError: Always.
        """
        unknown = re.match(r"unrecognized arguments: (.*)", message)
        if unknown:
            self.refuse_unknown(unknown.group(1).split())
        raise UsageError(f"{message} (see {self.prog} --help)")

    def refuse_unknown(self, arguments: Sequence[str], also_known: Sequence[str] = ()) -> NoReturn:
        """Refuses the first of the arguments that nothing takes.

        Args:
            arguments: What was left over after parsing.
            also_known: Flags that this parser doesn't declare but the command takes, such as Beam's.

        Raises:
            UsageError: Always.
        """
        first = next((a for a in arguments if a.startswith("-")), next(filter(None, arguments), "")).split("=")[0]
        if not first:
            raise UsageError(f"got an empty argument, as of a shell variable that isn't set; see {self.prog} --help")
        known = {flag for action in self._actions for flag in action.option_strings} | set(also_known)
        near = did_you_mean(first, known) if first.startswith("-") else ""
        near = near if near.startswith("; did") else f"; see {self.prog} --help"
        raise UsageError(f"unknown argument {first}{near}")

    def add_set_option(self, sections: Sequence[str], *, example: str = "ssl.alpha=0.3") -> None:
        """Adds `--set key=value`, which may be given many times.

        Args:
            sections: Of the spec, those that the command takes.
            example: An override that it takes.
        """
        of = f"a section that this command reads ({', '.join(sections)})"
        self.add_argument(
            "--set",
            metavar="KEY=VALUE",
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

    def add_verify_option(self) -> None:
        """Adds `--verify`, for what `Manifest.read` opens."""
        self.add_argument("--verify", action="store_true", help="compare the SHA-256 of every file that is read")


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"expected true or false, got '{text}'")
    return text.lower() == "true"


def run_command(body: Callable[[Sequence[str]], None], argv: Sequence[str] | None = None) -> int:
    """Runs a command and turns its errors into one line on stderr and an exit code.

    SIGTERM is taken as Ctrl-C is: both raise KeyboardInterrupt in the main thread.

    Args:
        body: The command; gets the arguments, returns nothing, raises StageError.
        argv: The arguments; those of the process by default.

    Returns:
        0 ok, 1 failed, 2 wrong use, 75 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    verbose = any(word.lower() in (VERBOSE, f"{VERBOSE}=true") for word in arguments)
    if not verbose:
        _quiet()
    keep_keras_lean()
    _take_signals_as_interrupt()
    try:
        body(arguments)
        sys.stdout.flush()
    except StageError as error:
        if verbose:
            traceback.print_exc()
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted; the same command starts again where that is possible", Interrupted.exit_code)
    except BrokenPipeError as error:
        if not _nobody_reads_stdout():
            return _fail(describe_os_error(error), 1)
        # As `| head` does it; nothing is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1
    except OSError as error:
        if verbose:
            traceback.print_exc()
        return _fail(describe_os_error(error), 1)
    return 0


def _nobody_reads_stdout() -> bool:
    """Whether the reader of our stdout went away."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def describe_os_error(error: OSError) -> str:
    """Says in one line what the operating system refused, and for which file."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def _fail(message: str, exit_code: int) -> int:
    print(f"error: {message}", file=sys.stderr, flush=True)
    return exit_code


def _quiet() -> None:
    """Silences the libraries: Python's logs, and what native code writes straight to file descriptor 2.

    TensorFlow logs there while it is imported, before any of its settings hold. Our own stderr moves to a copy.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    if sys.stderr is sys.__stderr__:
        sys.stderr = open(os.dup(2), "w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.environ.setdefault("CUDA_MODULE_LOADING", "LAZY")
    logging.disable(logging.WARNING)


_interrupted = threading.Event()


def check_interrupted() -> None:
    """Raises an interrupt again that native code swallowed, as TensorFlow does now and then while it traces a graph.

    Raises:
        KeyboardInterrupt: If the command that runs was interrupted.
    """
    if _interrupted.is_set():
        raise KeyboardInterrupt


def was_interrupted() -> bool:
    """Whether the command that runs in this process was interrupted, though nothing may have come of it."""
    return _interrupted.is_set()


def _interrupt(*_: object) -> None:
    _interrupted.set()
    raise KeyboardInterrupt


def _take_signals_as_interrupt() -> None:
    _interrupted.clear()
    # ValueError: not the main thread, so whoever runs the command there owns the signals.
    with contextlib.suppress(ValueError):
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _interrupt)
