"""A worker that dies while it answers."""

import sys
from contextlib import closing

import pytest

from features.spec_evaluate import Evaluate
from model.comparison.requests import ShapesRequest
from model.comparison.worker_pool import WorkerPool
from stage.errors import StageError


def test_half_an_answer_is_none(tmp_path, monkeypatch):
    dies = 'import os; os.write(1, b\'{"validation": {"metr\'); os.kill(os.getpid(), 9)'
    with closing(WorkerPool("unused", Evaluate(), workers=1, threads=1, logs=str(tmp_path))) as pool:
        monkeypatch.setattr(pool, "_command", [sys.executable, "-c", dies])
        with pytest.raises(StageError, match=r"^a worker failed \(exit code -9\); .*/worker-0\.log says why$"):
            pool.ask(ShapesRequest())
