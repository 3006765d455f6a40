"""aggregate-spark on a Spark standalone cluster, submitted, and with a worker killed midway: always the same result."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from needs_java import NEEDS_JAVA
from places import ROOT
from waiting import wait_for

SECONDS = 240

pytestmark = [pytest.mark.engine, NEEDS_JAVA]


@dataclass(frozen=True)
class Cluster:
    """A master and two workers, each the leader of a process group of its own."""

    url: str
    workers: list["subprocess.Popen[bytes]"]
    folders: list[Path]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    pyspark = pytest.importorskip("pyspark")
    home = Path(pyspark.__file__).parent
    environment = os.environ | {"SPARK_HOME": str(home), "PYSPARK_PYTHON": sys.executable, "SPARK_NO_DAEMONIZE": "1"}
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *arguments: str) -> "subprocess.Popen[bytes]":
        with open(tmp_path / f"{name}.log", "wb") as log:
            command = [str(home / "bin" / "spark-class"), *arguments]
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        started.append(process)
        return process

    try:
        place = ("--host", "127.0.0.1", "--webui-port", "0")
        start("master", "org.apache.spark.deploy.master.Master", *place, "--port", "0")
        log = tmp_path / "master.log"
        wait_for(lambda: "I have been elected leader" in log.read_text(), "a master", seconds=SECONDS)
        (url,) = re.findall(r"Starting Spark master at (spark://\S+)", log.read_text())
        folders = [tmp_path / f"work{number}" for number in range(2)]
        resources = ("--cores", "1", "--memory", "1g")
        workers = [
            start(folder.name, "org.apache.spark.deploy.worker.Worker", *place, *resources, "-d", str(folder), url)
            for folder in folders
        ]
        wait_for(lambda: log.read_text().count("Registering worker") == 2, "two workers", seconds=SECONDS)
        yield Cluster(url, workers, folders)
    finally:
        for process in started:
            _kill(process)


@pytest.mark.slow  # what is killed below is submitted to the same cluster
def test_submitted_to_a_cluster_it_makes_the_same(
    cluster: Cluster, generated: Any, run: Callable[..., Any], tmp_path: Path
) -> None:
    output = tmp_path / "aggregate"
    submit = str(Path(sys.executable).parent / "spark-submit")
    script = str(ROOT / "pipelines" / "spark" / "aggregate.py")
    local = ("--conf", "spark.driver.host=127.0.0.1", "--conf", "spark.cores.max=2")
    _start(tmp_path / "log", submit, "--master", cluster.url, *local, script, *_flags(generated, output)).check()
    assert all(any(folder.glob("app-*/*/stderr")) for folder in cluster.folders)  # both workers took part
    _assert_same(output, generated, run=run)


def test_a_worker_killed_midway_changes_nothing(
    cluster: Cluster, generated: Any, run: Callable[..., Any], tmp_path: Path
) -> None:
    output = tmp_path / "aggregate"
    conf = ("--master", cluster.url, "--conf", "spark.driver.host=127.0.0.1")
    command = (sys.executable, "-m", "pipelines.cli", "aggregate-spark", *_flags(generated, output), *conf)
    running = _start(tmp_path / "log", *command)
    # Once rejects are written, lines and pairs lie on the disks of both workers.
    wait_for(lambda: any(output.glob("rejects/*.gz")) or not running.alive, "a file of rejects", seconds=SECONDS)
    assert running.alive
    assert any(cluster.folders[0].glob("app-*/*/stderr"))
    _kill(cluster.workers[0])
    assert running.alive
    running.check()
    _assert_same(output, generated, run=run)


def _flags(generated: Any, output: Path) -> list[str]:
    """Of a command that runs in `ROOT`, where no worker stands."""
    return [*generated.flags, "--raw", os.path.relpath(generated.raw, ROOT), "--output", os.path.relpath(output, ROOT)]


def _assert_same(aggregate: Path, generated: Any, *, run: Callable[..., Any]) -> None:
    """A build goes on from it to the dataset that the local runner makes of the log."""
    output = str(aggregate.with_name("dataset"))
    built = run("build-dataset", *generated.flags, "--aggregated", str(aggregate), "--output", output, "--json")
    assert built.manifest["content"] == generated.content


class _Running:
    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process, self._log = process, log

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def check(self) -> None:
        try:
            code = self._process.wait(SECONDS)
        finally:
            _kill(self._process)
        assert code == 0, self.said()[-3_000:]


def _start(log: Path, *command: str) -> _Running:
    with open(log, "wb") as file:
        environment = os.environ | {"PYSPARK_PYTHON": sys.executable}
        process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True, cwd=ROOT, env=environment)
    return _Running(process, log)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kills a process and those that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
