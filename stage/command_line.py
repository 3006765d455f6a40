"""How every command runs: its errors are a line on stderr and an exit code, and the libraries are quiet."""

import faulthandler
import gc
import io
import logging
import os
import select
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from stage.errors import Interrupted, StageError
from stage.interrupts import ignore_signals, take_signals_as_interrupt, was_interrupted
from stage.lean_keras import keep_keras_lean
from stage.parser import VERBOSE

COLLECTED_AFTER = (10_000, 20, 20)
"""Python's garbage collector goes over all of TensorFlow's and Beam's objects again and again while they are imported
and graphs are built. With its own thresholds (700, 10, 10) the imports took 4.9 s of processor time, with these 4.1; a
build of 3,000 items 17.1 and 15.1 s (medians of 4 and 3 turns), at the same peak of memory."""

_INTERRUPTED = "interrupted; the same command starts again where that is possible"


def run_process(body: Callable[[Sequence[str]], None]) -> NoReturn:
    """Runs a command and ends the process with its exit code, which a signal while Python ends no longer changes.

    Args:
        body: As `run_command` takes it.

    Raises:
        SystemExit: With the code that `run_command` gives.
    """
    code = run_command(body)
    ignore_signals()
    # An interrupt in the midst of an exec of text, as dataclasses are made by, would have Python 3.11 end by SIGINT in
    # place of this code under -m, unless a later exec didn't end so.
    exec("")
    try:
        _flush_stdout()
    except OSError as error:
        # As on a full disk: Python would try again, and end with a code of its own, 120.
        _to_nobody(sys.stdout.fileno())
        if not code:  # nothing was said yet, as where --help leaves by SystemExit
            code = 1 if isinstance(error, BrokenPipeError) else _fail(describe_os_error(error), 1)
    sys.exit(code)


def run_command(body: Callable[[Sequence[str]], None], argv: Sequence[str] | None = None) -> int:
    """Runs a command and turns its errors into one line on stderr and an exit code.

    SIGTERM is taken as Ctrl-C is: both raise KeyboardInterrupt in the main thread.

    Args:
        body: The command; gets the arguments, returns nothing, raises StageError.
        argv: The arguments; those of the process by default.

    Returns:
        0 ok, 1 failed, 2 wrong use, 75 interrupted.
    """
    _open_closed_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    verbose = any(word.lower() in (VERBOSE, f"{VERBOSE}=true") for word in arguments)
    is_own_stderr = sys.stderr is sys.__stderr__
    if is_own_stderr:
        sys.stderr.flush()
        sys.stderr = _Stderr(os.dup(2))
    if not verbose:
        _quiet(is_own_stderr=is_own_stderr)
    if is_own_stderr:
        # A signal of native code's own, as of a failed check of TensorFlow's, is no error that could be caught.
        faulthandler.enable(sys.stderr)
    gc.set_threshold(*COLLECTED_AFTER)
    keep_keras_lean()
    take_signals_as_interrupt()
    try:
        body(arguments)
        _flush_stdout()
    except StageError as error:
        if verbose:
            traceback.print_exc()
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail(_INTERRUPTED, Interrupted.exit_code)
    except BrokenPipeError as error:
        # As `| head` does it; nothing is left to tell.
        return 1 if _nobody_reads_stdout() else _fail(describe_os_error(error), 1)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1
    except OSError as error:
        if verbose:
            traceback.print_exc()
        return _fail(describe_os_error(error), 1)
    except Exception as error:
        # What native code makes of an interrupt in its midst, as in an import: of itself it is a defect.
        if not was_interrupted():
            raise
        if verbose:
            traceback.print_exc()
        became = f"{type(error).__name__}: {error}".splitlines()[0]
        return _fail(f"{_INTERRUPTED} (it became {became})", Interrupted.exit_code)
    return 0


def _open_closed_streams() -> None:
    """Opens /dev/null for standard streams that are closed, as by `>&-`, before a file of ours gets their number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  (as long as the process)


def _flush_stdout() -> None:
    """Writes what was printed; an error names stdout, since every file may have been written."""
    try:
        sys.stdout.flush()
    except OSError as error:
        error.filename = "stdout"
        raise


def _nobody_reads_stdout() -> bool:
    """Whether the reader of our stdout went away."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


class _Stderr(io.TextIOWrapper):
    """Stderr that ends nothing once nobody reads it: where Ctrl-C ends `2>&1 | tee log` too, a training still saves.

    Nor does a terminal that is gone, or a full disk.
    """

    def __init__(self, descriptor: int) -> None:
        """Takes a file descriptor over."""
        buffer = io.BufferedWriter(io.FileIO(descriptor, "wb"))
        super().__init__(buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True)

    def write(self, text: str) -> int:
        """As a text file's."""
        try:
            return super().write(text)
        except OSError:
            _to_nobody(self.fileno())
            return len(text)

    def flush(self) -> None:
        """As a text file's."""
        try:
            super().flush()
        except OSError:
            _to_nobody(self.fileno())


def _to_nobody(descriptor: int) -> None:
    nobody = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nobody, descriptor)
    os.close(nobody)


def describe_os_error(error: OSError) -> str:
    """Says in one line what the operating system refused, and for which file."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def _fail(message: str, exit_code: int) -> int:
    print(f"error: {message}", file=sys.stderr, flush=True)
    return exit_code


def _quiet(*, is_own_stderr: bool) -> None:
    """Silences the libraries: Python's logs, and what native code writes straight to file descriptor 2.

    TensorFlow logs there while it is imported, before any of its settings hold. Our own stderr is a copy.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if is_own_stderr:
        _to_nobody(2)
    os.environ.setdefault("CUDA_MODULE_LOADING", "LAZY")
    logging.disable(logging.WARNING)
