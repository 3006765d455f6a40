"""aggregate-spark on a Spark standalone cluster, submitted, and with a worker killed midway: always the same result."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 240

pytestmark = [
    pytest.mark.engine,
    pytest.mark.xdist_group("cluster"),  # what it expects is made once
    pytest.mark.skipif(
        shutil.which("java") is None and "JAVA_HOME" not in os.environ, reason="Spark needs Java 17 or newer"
    ),
]


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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"SPARK_HOME": str(home), "PYSPARK_PYTHON": sys.executable, "SPARK_NO_DAEMONIZE": "1"}
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *arguments: str) -> "subprocess.Popen[bytes]":
        with open(tmp_path / f"{name}.log", "wb") as log:
            command = [str(home / "bin" / "spark-class"), *arguments]
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        started.append(process)
        return process

    try:
        url = f"spark://127.0.0.1:{port}"
        place = ("--host", "127.0.0.1", "--webui-port", "0")
        start("master", "org.apache.spark.deploy.master.Master", *place, "--port", str(port))
        _wait_for(lambda: "I have been elected leader" in (tmp_path / "master.log").read_text())
        folders = [tmp_path / f"work{number}" for number in range(2)]
        resources = ("--cores", "1", "--memory", "1g")
        workers = [
            start(folder.name, "org.apache.spark.deploy.worker.Worker", *place, *resources, "-d", str(folder), url)
            for folder in folders
        ]
        _wait_for(lambda: (tmp_path / "master.log").read_text().count("Registering worker") == 2)
        yield Cluster(url, workers, folders)
    finally:
        for process in started:
            _kill(process)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("raw") / "synthetic"
    sizes = ["--interactions", "3000", "--queries", "300", "--items", "150", "--seed", "3"]
    _start(directory.parent / "log", *SSL_TWO_TOWER, "generate", *sizes, "--output", str(directory)).check()
    return directory


@pytest.fixture(scope="module")
def expected(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Spark makes of it in one process."""
    output = tmp_path_factory.mktemp("local") / "aggregate"
    flags = [*_flags(raw, output), "--master", "local[2]"]
    _start(output.parent / "log", *SSL_TWO_TOWER, "aggregate-spark", *flags).check()
    return output


SSL_TWO_TOWER = (sys.executable, "-m", "pipelines.cli")


@pytest.mark.slow  # what is killed below is submitted to the same cluster
def test_submitted_to_a_cluster_it_makes_the_same(cluster: Cluster, raw: Path, expected: Path, tmp_path: Path) -> None:
    output = tmp_path / "aggregate"
    submit = str(Path(sys.executable).parent / "spark-submit")
    script = str(ROOT / "pipelines" / "spark" / "aggregate.py")
    local = ("--conf", "spark.driver.host=127.0.0.1", "--conf", "spark.cores.max=2")
    _start(tmp_path / "log", submit, "--master", cluster.url, *local, script, *_flags(raw, output)).check()
    assert all(any(folder.glob("app-*/*/stderr")) for folder in cluster.folders)  # both workers took part
    _assert_same(output, expected)


def test_a_worker_killed_midway_changes_nothing(cluster: Cluster, raw: Path, expected: Path, tmp_path: Path) -> None:
    output = tmp_path / "aggregate"
    conf = ("--master", cluster.url, "--conf", "spark.driver.host=127.0.0.1")
    running = _start(tmp_path / "log", *SSL_TWO_TOWER, "aggregate-spark", *_flags(raw, output), *conf)
    # Once rejects are written, lines and pairs lie on the disks of both workers.
    _wait_for(lambda: any(output.glob("rejects/*.gz")) or not running.alive)
    assert running.alive
    assert any(cluster.folders[0].glob("app-*/*/stderr"))
    _kill(cluster.workers[0])
    assert running.alive
    running.check()
    _assert_same(output, expected)


def _flags(raw: Path, output: Path) -> list[str]:
    return ["--spec", "synthetic", "--raw", str(raw), "--output", str(output), "--shards", "3"]


def _assert_same(found: Path, expected: Path) -> None:
    manifests: list[dict[str, Any]] = [json.loads((place / "manifest.json").read_text()) for place in (found, expected)]
    for part in ("content", "counts", "rejected"):
        assert manifests[0][part] == manifests[1][part], part


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


def _wait_for(condition: Any) -> None:
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)
