"""Workers of one dataset, each a process, of which whoever asks gets the next that is free."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections import Counter

from features.spec.evaluate import Evaluate
from model.comparison.requests import Request
from stage import storage
from stage.child_process import end
from stage.errors import Interrupted, StageError
from stage.manifest import Json

ANSWERS = 50
"""After so many a worker makes room for another: TensorFlow keeps 20 to 35 MB of each training (measured)."""

_ERROR = "error: "
"""How the line begins that says why a command failed."""


class WorkerPool:
    """Workers start when they are first needed, and end when it is closed.

    `ask` may be called by more threads than there are workers: some then wait.
    """

    def __init__(self, dataset: str, settings: Evaluate, *, workers: int, threads: int, logs: str) -> None:
        """Starts nothing yet.

        Args:
            dataset: Its directory.
            settings: What is ranked.
            workers: How many processes, at most.
            threads: TensorFlow's threads in each.
            logs: Local directory for what each says on stderr.
        """
        self.workers = workers
        self._command = [sys.executable, "-P", "-m", "model.comparison.worker", "--dataset", dataset]
        self._command += ["--evaluate", settings.model_dump_json(), "--threads", str(threads)]
        self._logs = logs
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(workers):
            self._free.put(number)
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._begins: dict[int, int] = {}
        """Where in its log a process begins: those before it wrote there too."""
        self._answers: Counter[int] = Counter()
        self._closing = threading.Event()
        self._lock = threading.Lock()

    def ask(self, request: Request) -> Json:
        """Has a worker answer, and waits for it.

        Raises:
            StageError: If the worker failed; with what it said of it last, and the log that has the rest.
            Interrupted: If the pool is being closed.
        """
        number = self._free.get()
        try:
            process = self._process(number)
            try:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(request.model_dump_json() + "\n")
                process.stdin.flush()
                answer = process.stdout.readline()
            except OSError:  # it is gone
                answer = ""
            is_whole = answer.endswith("\n")  # else it ended while it answered
            if is_whole:
                self._count(number)
        finally:
            self._free.put(number)
        if is_whole:
            return json.loads(answer)
        if self._closing.is_set() or process.wait() == Interrupted.exit_code:
            raise Interrupted("interrupted; the same command goes on from here")
        why = self._reason(number)
        said = f"{why}; {self._log(number)} has more" if why else f"{self._log(number)} says why"
        raise StageError(f"a worker failed (exit code {process.returncode}): {said}")

    def close(self) -> None:
        """Ends all workers; a training that runs is saved."""
        with self._lock:
            self._closing.set()
        end(*self._processes.values())

    def _count(self, number: int) -> None:
        """One more answer, maybe the worker's last."""
        self._answers[number] += 1
        if self._answers[number] % ANSWERS:
            return
        with self._lock:
            process = None if self._closing.is_set() else self._processes.pop(number)
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()  # which ends it
            process.wait()

    def _process(self, number: int) -> "subprocess.Popen[str]":
        with self._lock:
            if self._closing.is_set():
                raise Interrupted("interrupted; the same command goes on from here")
            if number not in self._processes:
                with open(self._log(number), "a", encoding="utf-8") as log:
                    self._begins[number] = os.fstat(log.fileno()).st_size
                    self._processes[number] = subprocess.Popen(
                        self._command,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=log,
                        text=True,
                        # Ctrl-C should not reach it beside our SIGTERM: two signals would interrupt its saving.
                        process_group=0,
                    )
            return self._processes[number]

    def _reason(self, number: int) -> str | None:
        """What the present process said last on a line of its own that begins as errors do."""
        with open(self._log(number), "rb") as log:
            log.seek(self._begins[number])
            lines = log.read().decode(errors="replace").splitlines()
        return next((line.removeprefix(_ERROR) for line in reversed(lines) if line.startswith(_ERROR)), None)

    def _log(self, number: int) -> str:
        return storage.join(self._logs, f"worker-{number}.log")
