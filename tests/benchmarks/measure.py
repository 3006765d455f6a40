"""How speed is measured: things to compare take turns, and each is told by the median of its times."""

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Row:
    """What a benchmark found."""

    name: str
    value: float | None
    """None: it could not be measured, and `detail` says why."""
    unit: str
    detail: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def target(self) -> str:
        if self.at_least is not None:
            return f">= {self.at_least:,.6g}"
        return f"<= {self.at_most:,.6g}" if self.at_most is not None else ""

    @property
    def missed(self) -> bool:
        if self.value is None:
            return False
        return (self.at_least is not None and self.value < self.at_least) or (
            self.at_most is not None and self.value > self.at_most
        )


Turns: TypeAlias = Callable[[Mapping[str, Callable[[], object]]], dict[str, float]]
"""`take_turns`, but for what it times."""


@dataclass(frozen=True)
class Took:
    """What a run took in another process, for a run to return: its caller's clock doesn't see that."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds of all its threads."""


def take_turns(
    runs: Mapping[str, Callable[[], object]], *, repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Runs all of them in turns, and again.

    Args:
        runs: Name -> what to time.
        repeats: Turns.
        clock: Seconds; `time.process_time` counts those of all threads, and none that others took.

    Returns:
        Name -> median of its seconds.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats):
        for name, run in runs.items():
            begin = clock()
            found = run()
            seconds = clock() - begin
            if isinstance(found, Took):
                seconds = found.cpu if clock is time.process_time else found.wall
            # Here, lest the next one is charged with letting go of it.
            del found
            times[name].append(seconds)
            print(f"  {name}, turn {turn + 1} of {repeats}: {times[name][-1]:.2f} s", file=sys.stderr)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


@dataclass(frozen=True)
class Process:
    """What a process took."""

    seconds: float
    processor: float
    """Seconds of processor time, of all threads."""
    gigabytes: float
    """Peak resident memory of the process or the largest one that it waited for."""
    stdout: str


def run_command(*arguments: str, environment: Mapping[str, str] | None = None) -> Process:
    """Runs `ssl-two-tower` with these arguments, in a process of its own.

    Raises:
        RuntimeError: If it fails, with what it said.
    """
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complained:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli", *arguments],
            stdout=said,
            stderr=complained,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begin
        finally:
            # Whatever the command left of its engine goes with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        complained.seek(0)
        if process.returncode:
            raise RuntimeError(f"ssl-two-tower {' '.join(arguments)}: {complained.read()[-2000:]}")
        return Process(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9, said.read())
