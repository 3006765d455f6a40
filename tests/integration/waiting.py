"""Waiting for what another process or thread does."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest


def wait_for(
    happened: Callable[[], object], what: str, *, by: "Sequence[subprocess.Popen[Any]]" = (), seconds: float = 120
) -> None:
    """Waits until something happens; fails if it doesn't in time, or not before a process ends, and kills those.

    Args:
        happened: Whether it has.
        what: What is waited for.
        by: Processes that would do it.
        seconds: How long.
    """
    end = time.monotonic() + seconds
    alive = True
    while alive and time.monotonic() < end:
        alive = all(process.poll() is None for process in by)
        if happened():
            return
        time.sleep(0.005)
    for process in by:
        process.kill()
    said = [process.communicate(timeout=60)[1] for process in by]
    pytest.fail(f"expected {what} {f'within {seconds:g} s' if alive else 'before a process ends'}, found none: {said}")


@contextmanager
def killed_at_the_end(*processes: "subprocess.Popen[Any]", seconds: float = 600) -> Iterator[None]:
    """Leaves no process behind, and nobody waiting for one: whatever hasn't ended is killed, after so long anyway."""
    timers = [threading.Timer(seconds, process.kill) for process in processes]
    try:
        for timer in timers:
            timer.start()
        yield
    finally:
        for timer, process in zip(timers, processes, strict=True):
            timer.cancel()
            process.kill()
            process.wait()
