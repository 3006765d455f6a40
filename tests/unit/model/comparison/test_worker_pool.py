"""A pool of workers, which run other programs here: who answers, and what is said of one that dies."""

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from features.spec.evaluate import Evaluate
from model.comparison.requests import PeerRequest, ShapesRequest
from model.comparison.worker_pool import WorkerPool
from stage.errors import StageError


@pytest.fixture
def pool(tmp_path, monkeypatch):
    """`with pool(program, workers=1) as running`: its workers run a program of Python."""

    def make(program, workers=1):
        made = WorkerPool("unused", Evaluate(), workers=workers, threads=1, logs=str(tmp_path))
        monkeypatch.setattr(made, "_command", [sys.executable, "-c", program])
        return closing(made)

    return make


SAYS_ITS_NUMBER = "import os, sys\nfor line in sys.stdin: print(os.getpid(), flush=True)"


def test_a_worker_makes_room_for_another_after_so_many_answers(pool, monkeypatch):
    monkeypatch.setattr("model.comparison.worker_pool.ANSWERS", 2)
    with pool(SAYS_ITS_NUMBER) as running:
        numbers = [running.ask(ShapesRequest()) for _ in range(5)]
    assert [numbers.index(number) for number in numbers] == [0, 0, 2, 2, 4]


ANSWERS_ITS_SEED = """
import json, os, sys, time
for line in sys.stdin:
    seed = json.loads(line)["seed"]
    time.sleep(seed % 3 / 100)
    print(json.dumps({"seed": seed, "worker": os.getpid()}), flush=True)
"""


def test_several_workers_answer_each_its_own_request(pool, tmp_path, monkeypatch):
    """Also while some make room for others."""
    monkeypatch.setattr("model.comparison.worker_pool.ANSWERS", 5)
    requests = [
        PeerRequest(peer="als", settings={}, seed=seed, python="", spec=[], directory="", test=False)
        for seed in range(40)
    ]
    with ThreadPoolExecutor(3) as threads, pool(ANSWERS_ITS_SEED, workers=3) as running:
        answers = list(threads.map(running.ask, requests, timeout=60))
    assert [answer["seed"] for answer in answers] == list(range(40))
    by_worker = Counter(answer["worker"] for answer in answers)
    # 40 answers, at most five of a worker.
    assert len(by_worker) >= 8
    assert max(by_worker.values()) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"worker-{number}.log" for number in range(3)]


def test_half_an_answer_is_none(pool):
    dies = 'import os; os.write(1, b\'{"validation": {"metr\'); os.kill(os.getpid(), 9)'
    failed = r"^a worker failed \(exit code -9\): .*/worker-0\.log says why$"
    with pool(dies) as running, pytest.raises(StageError, match=failed):
        running.ask(ShapesRequest())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("error: first\nwarning: w\nerror: no memory; lower it\nbye\n", "no memory; lower it; {log} has more"),
        ("an error: in passing\n", "{log} says why"),
    ],
)
def test_the_last_error_of_the_present_process_is_named(pool, tmp_path, monkeypatch, said, told):
    """Not of one before it in this pool, which answered and made room, or of another command."""
    monkeypatch.setattr("model.comparison.worker_pool.ANSWERS", 1)
    log, second = tmp_path / "worker-0.log", tmp_path / "second"
    log.write_text("error: of another command\n")
    program = f"""
import os, sys
if os.path.exists({str(second)!r}):
    sys.stderr.write({said!r})
    sys.exit(1)
open({str(second)!r}, "w").close()
sys.stderr.write("error: of the first\\n")
for line in sys.stdin: print("{{}}", flush=True)
"""
    with pool(program) as running:
        assert running.ask(ShapesRequest()) == {}
        with pytest.raises(StageError, match=rf"^a worker failed \(exit code 1\): {told.format(log=log)}$"):
            running.ask(ShapesRequest())
