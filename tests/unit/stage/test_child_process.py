"""The end of processes that this one has started."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from stage.child_process import end, run_verb

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
