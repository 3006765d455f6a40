"""SIGTERM and Ctrl-C, which both interrupt the command that runs."""

import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial

_interrupted = threading.Event()
_held, _first_alone = threading.Event(), threading.Event()
_taken: set[signal.Signals] = set()


def take_signals_as_interrupt() -> None:
    """Has SIGTERM raise KeyboardInterrupt in the main thread, as Ctrl-C does; nothing was interrupted so far."""
    _interrupted.clear()
    _taken.clear()
    # ValueError: not the main thread, so whoever runs the command there owns the signals.
    with contextlib.suppress(ValueError):
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _interrupt)
                _taken.add(number)


def take_signals_back() -> None:
    """Does it again after a library has taken some for itself, as PySpark does with Ctrl-C."""
    for number in _taken:
        signal.signal(number, _interrupt)


@contextlib.contextmanager
def interrupts_held(*, first_alone: bool = False) -> Iterator[Callable[[], None]]:
    """Has an interrupt of the main thread, which this is, wait: as while a process starts, which nobody could end yet.

    Args:
        first_alone: Let a second one through, as of a person who has waited long enough.

    Yields:
        What lets interrupts through again, and raises KeyboardInterrupt if one has waited.
    """

    def release() -> None:
        _held.clear()
        _first_alone.clear()
        check_interrupted()

    _held.set()
    if first_alone:
        _first_alone.set()
    try:
        yield release
    finally:
        if _held.is_set():
            release()


def ignore_signals() -> None:
    """Has neither of them change what is left: the process is at its end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


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
    is_second = _interrupted.is_set()
    _interrupted.set()
    if logging.root.manager.disable:  # Libraries that are quiet don't tell of it either.
        logging.disable(logging.CRITICAL)
    if _held.is_set() and not (is_second and _first_alone.is_set()):
        return
    sys.unraisablehook = partial(_show_unraisable, others=sys.unraisablehook)
    raise KeyboardInterrupt


def _show_unraisable(
    ignored: "sys.UnraisableHookArgs", *, others: Callable[["sys.UnraisableHookArgs"], object]
) -> None:
    """Leaves out an interrupt that a finalizer swallowed, which `check_interrupted` raises again."""
    if ignored.exc_type is not KeyboardInterrupt:
        others(ignored)
