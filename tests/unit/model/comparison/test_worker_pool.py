"""A worker that dies while it answers."""

import sys
from contextlib import closing

import pytest

from features.spec.evaluate import Evaluate
from model.comparison.requests import ShapesRequest
from model.comparison.worker_pool import WorkerPool
from stage.errors import StageError


def test_half_an_answer_is_none(tmp_path, monkeypatch):
    dies = 'import os; os.write(1, b\'{"validation": {"metr\'); os.kill(os.getpid(), 9)'
    with closing(WorkerPool("unused", Evaluate(), workers=1, threads=1, logs=str(tmp_path))) as pool:
        monkeypatch.setattr(pool, "_command", [sys.executable, "-c", dies])
        with pytest.raises(StageError, match=r"^a worker failed \(exit code -9\): .*/worker-0\.log says why$"):
            pool.ask(ShapesRequest())


def test_the_last_error_of_the_present_process_is_named(tmp_path, monkeypatch):
    log = tmp_path / "worker-0.log"
    log.write_text("error: of a process before\n")
    with closing(WorkerPool("unused", Evaluate(), workers=1, threads=1, logs=str(tmp_path))) as pool:
        for said, told in (
            ("error: first\nwarning: w\nerror: no memory; lower it\nbye\n", rf"no memory; lower it; {log} has more"),
            ("an error: in passing\n", f"{log} says why"),
        ):
            fails = f"import sys; sys.stderr.write({said!r}); sys.exit(1)"
            monkeypatch.setattr(pool, "_command", [sys.executable, "-c", fails])
            with pytest.raises(StageError, match=rf"^a worker failed \(exit code 1\): {told}$"):
                pool.ask(ShapesRequest())
            pool._processes.clear()
