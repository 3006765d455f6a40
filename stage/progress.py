"""Progress on stderr: a live line on a terminal, a line now and then in a log file."""

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from tqdm import tqdm

SECONDS_BETWEEN_LOG_LINES = 10.0


class _Lines(io.TextIOBase):
    """Stderr for a log file: each state of a bar on a line of its own."""

    def write(self, text: str) -> int:
        """Writes a state; what only moves the cursor is left out."""
        line = text.strip("\r\n ")
        if line:
            sys.stderr.write(f"{line}\n")
        return len(text)

    def flush(self) -> None:
        """Flushes stderr."""
        sys.stderr.flush()


def bar(
    *,
    total: int | None,
    unit: str,
    description: str,
    initial: int = 0,
    delay: float = 0.0,
    bar_format: str | None = None,
) -> "tqdm[NoReturn]":
    """A progress bar that suits where stderr goes.

    Args:
        total: How many units there are; None if nobody knows.
        unit: What is counted, such as "examples".
        description: What is being done.
        initial: Units done before, when resuming.
        delay: Seconds before which nothing is shown: of what mostly is done sooner.
        bar_format: As tqdm has it.
    """
    live = sys.stderr.isatty()
    return tqdm(
        total=total,
        unit=f" {unit}",
        desc=description,
        initial=initial,
        delay=delay,
        unit_scale=True,
        file=sys.stderr if live else _Lines(),
        mininterval=0.2 if live else SECONDS_BETWEEN_LOG_LINES,
        maxinterval=SECONDS_BETWEEN_LOG_LINES,
        dynamic_ncols=live,
        leave=not live,
        bar_format=bar_format,
    )


class Counters:
    """Named counts of a running job, shown as one line.

    Steps of a job that run in this very process add to them; in a worker elsewhere nobody has started them, so adding
    does nothing. They are for the eyes alone: what a manifest says is counted by the job.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._bar: tqdm[NoReturn] | None = None

    def add(self, name: str, amount: int) -> None:
        """Adds to a count, and starts it at its first use."""
        with self._lock:
            if self._bar is None:
                return
            self._counts[name] = self._counts.get(name, 0) + amount
            self._bar.set_postfix_str(", ".join(f"{k} {v:,}" for k, v in self._counts.items()), refresh=False)
            self._bar.update(0)

    @contextmanager
    def show(self, description: str) -> Iterator[None]:
        """Counts from nothing, and shows it, until the context ends."""
        self._counts = {}
        self._bar = shown = bar(total=None, unit="", description=description, bar_format="{desc} {elapsed}{postfix}")
        try:
            yield
        finally:
            with self._lock:
                shown.close()
                self._bar = None


counters = Counters()
