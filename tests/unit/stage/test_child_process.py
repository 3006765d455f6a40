"""The end of processes that this one has started."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stage import interrupts
from stage.child_process import end, run_verb
from stage.errors import Interrupted, StageError
from stage.interrupts import take_signals_as_interrupt

PROGRAM = """
import signal, sys, time
if sys.argv[1] == "stays":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if sys.argv[1] == "saves":
    signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.2), sys.exit(75)))
print("ready", flush=True)
if sys.argv[1] != "leaves":
    time.sleep(60)
"""


def started(how: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, how], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "ready\n"
    return process


def test_a_process_may_save_and_one_that_stays_is_killed() -> None:
    processes = [started(how) for how in ("saves", "stays", "leaves")]
    processes[2].wait(30)
    start = time.monotonic()
    end(*processes, seconds=3)
    assert time.monotonic() - start < 20
    assert [process.returncode for process in processes] == [75, -9, 0]


def test_a_verb_s_process_imports_nothing_from_where_somebody_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("features", "pipelines", "stage", "argparse"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('of somebody else')")
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    run_verb("validate", ["--help"])
    assert "usage: ssl-two-tower validate" in capfd.readouterr().out


@pytest.fixture
def verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has every verb be a script of the shell."""

    def write(script: str) -> None:
        (tmp_path / "verb").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "verb").chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "verb"))
        monkeypatch.setattr(sys, "stderr", sys.__stderr__)

    return write


@pytest.mark.parametrize(
    ("script", "error", "said"),
    [
        ("exit 1", StageError, "train failed, see above; mend the cause, and the same command goes on from here"),
        ("kill -9 $$", StageError, "train was killed by signal 9; mend the cause, and the same command goes on from"),
        ("exit 2", SystemExit, "2"),
        ("exit 75", Interrupted, "train: interrupted; the same command goes on from here"),
    ],
)
def test_how_a_verb_ended_is_said(
    verb: Callable[[str], None], script: str, error: type[BaseException], said: str
) -> None:
    verb(script)
    with pytest.raises(error, match=f"^{re.escape(said)}"):
        run_verb("train", [])


def test_a_verb_is_ended_with_who_waits_for_it(verb: Callable[[str], None], tmp_path: Path) -> None:
    saves = f"trap 'sleep 0.2; echo > {tmp_path}/saved; exit 0' TERM"
    verb(f"{saves}; sleep 0.3; kill -INT $PPID; for _ in $(seq 100); do sleep 0.05; done")
    with pytest.raises(Interrupted):
        run_verb("train", [])
    assert (tmp_path / "saved").exists()


@pytest.fixture
def signals_taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a command."""
    handlers = {handled: signal.getsignal(handled) for handled in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    try:
        take_signals_as_interrupt()
        yield
    finally:
        for handled, handler in handlers.items():
            signal.signal(handled, handler)
        interrupts._interrupted.clear()


@pytest.mark.usefixtures("signals_taken")
def test_a_second_interrupt_waits_until_the_verb_has_saved(verb: Callable[[str], None], tmp_path: Path) -> None:
    saves = f"trap 'kill -INT $PPID; sleep 0.5; echo > {tmp_path}/saved; exit 0' TERM"
    verb(f"{saves}; sleep 0.3; kill -INT $PPID; for _ in $(seq 100); do sleep 0.05; done")
    with pytest.raises(Interrupted):
        run_verb("train", [])
    assert (tmp_path / "saved").exists()


@pytest.mark.usefixtures("signals_taken")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_a_verb_starts_ends_it(
    number: signal.Signals, verb: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    started_ones = []

    def start(*given: Any, **named: Any) -> "subprocess.Popen[bytes]":
        started_ones.append(process := subprocess.Popen(*given, **named))
        os.kill(os.getpid(), number)
        return process

    verb("for _ in $(seq 600); do sleep 0.1; done")
    monkeypatch.setattr("stage.child_process.subprocess", SimpleNamespace(Popen=start))
    with pytest.raises(Interrupted):
        run_verb("train", [])
    assert started_ones[0].poll() == -signal.SIGTERM
    with pytest.raises(KeyboardInterrupt):  # the next is not held any more
        os.kill(os.getpid(), number)


def test_a_verb_that_cannot_be_started_holds_no_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    with pytest.raises(FileNotFoundError):
        run_verb("train", [])
    assert not interrupts._held.is_set()


def test_a_verb_writes_where_it_is_told_and_to_our_stderr(
    verb: Callable[[str], None], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    verb('echo "$@"; echo "$(ps -o pgid= -p $$) $$" >&2')
    groups = []
    for stdout, process_group in ((None, None), (subprocess.DEVNULL, 0)):
        with (tmp_path / "stderr").open("w+") as stderr:
            monkeypatch.setattr(sys, "stderr", stderr)
            run_verb("train", ["--seed", "1"], stdout=stdout, process_group=process_group)
            stderr.seek(0)
            groups.append([int(number) for number in stderr.read().split()])
    assert groups[0][0] == os.getpgrp()
    assert groups[1][0] == groups[1][1]
    assert capfd.readouterr() == ("-P -m pipelines.cli train --seed 1\n", "")


@pytest.mark.parametrize("killed", [True, False])
def test_a_process_ends_with_the_one_that_started_it_and_not_before(killed: bool) -> None:
    child = """
import time
from stage import child_process
child_process._LOOK_EVERY = 0.05
child_process.end_with_parent()
print("ready", flush=True)
time.sleep(0.4)
print("goes on", flush=True)
time.sleep(60)
"""
    parent = f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {child!r}])\ntime.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "ready\n"
        if not killed:
            assert process.stdout.readline() == "goes on\n"
        process.kill()
        process.wait()
        begun = time.monotonic()
        process.stdout.read()  # waits until the child has gone
    assert time.monotonic() - begun < 30
