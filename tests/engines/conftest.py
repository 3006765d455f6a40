"""Engines that `make engines` fetched, and builds on them, each in a process group that is ended whatever happens."""

import contextlib
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from engine_flags import Flags, engine_flags
from places import ROOT, SAMPLE

SECONDS = 900
"""More than the slowest build takes on a machine that is busy with others."""


@dataclass(frozen=True)
class Built:
    """How a build ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def manifest(self) -> dict[str, Any]:
        assert self.code == 0, self.stderr
        return json.loads(self.stdout)


Run = Callable[..., Built]


@dataclass(frozen=True)
class Input:
    """What to build, and its manifest's `content` where the local runner builds it."""

    raw: str
    flags: Flags
    content: dict[str, str]


@pytest.fixture(params=["prism", "spark", "flink"])
def engine(request: pytest.FixtureRequest) -> Flags:
    """Beam's flags for an engine."""
    file, flags = engine_flags()[request.param]
    if not Path(file).exists():
        pytest.skip(f"no {request.param}: make engines fetches it (needs Go for Prism, Maven and Java for the others)")
    if file.endswith(".jar") and shutil.which("java") is None:
        pytest.skip(
            f"{request.param} needs Java, at least 11: on Debian and Ubuntu, apt-get install default-jre-headless"
        )
    return flags


@pytest.fixture(scope="session")
def run() -> Run:
    """`run(*arguments)`: the console command in a process group of its own, of which nothing is left."""

    def run(*arguments: str) -> Built:
        environment = os.environ | {"FLINK_CONF_DIR": str(ROOT / "tests/engines/job_servers/flink")}
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli", *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            stdout, stderr = process.communicate(timeout=SECONDS)
        finally:
            # Whatever the command left of its engine goes with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return Built(process.returncode, stdout, stderr)

    return run


@pytest.fixture(scope="session")
def sample(run: Run, once: Any) -> Input:
    """The sample that ships: text, categories, numbers, shared vocabularies, no times."""
    flags = ("--spec", "debian", "--shards", "2")
    raw = str(SAMPLE)
    return _input(raw, flags, once("engines-sample", lambda directory: _build_locally(run, raw, flags, directory)))


@pytest.fixture(scope="session")
def generated(run: Run, once: Any) -> Input:
    """A log with bad lines, times, and a table of queries; fewer features than its spec has, to be quick."""
    sizes = ("--interactions", "3000", "--queries", "300", "--items", "200", "--seed", "1")
    query = {"user": {"kind": "id"}, "country": {"kind": "categorical"}}
    item = {"app": {"kind": "id"}, "tags": {"kind": "multivalued"}, "price": {"kind": "numeric", "log1p": True}}
    features = [f"{side}.features={json.dumps(found)}" for side, found in (("query", query), ("item", item))]
    flags = ("--spec", "synthetic", "--shards", "3", "--set", features[0], "--set", features[1])

    def fill(directory: Path) -> None:
        raw = str(directory / "raw")
        assert run("generate", *sizes, "--output", raw).code == 0
        _build_locally(run, raw, flags, directory)

    directory = once("generated", fill)
    return _input(str(directory / "raw"), flags, directory)


@pytest.fixture(scope="session")
def sessions(run: Run, generated: Input, once: Any) -> Input:
    """The generated log in session mode, its lines saying more of themselves: text, lists and numbers."""
    context = {"screen": {"kind": "text"}, "tabs": {"kind": "multivalued"}, "spent": {"kind": "numeric", "log1p": True}}
    session = {"max_history": 5, "min_history": 0, "gap": 500_000, "context": {"features": context}}
    flags = (*generated.flags, "--set", f"session={json.dumps(session)}")

    def fill(directory: Path) -> None:
        raw = shutil.copytree(generated.raw, directory / "raw")
        for file in raw.glob("interactions-*.gz"):
            lines = [
                line.replace(
                    b"{", b'{"screen": "s%d", "tabs": ["t%d", "t%d"], "spent": %d, ' % (n % 7, n % 3, n % 5, n % 90), 1
                )
                for n, line in enumerate(gzip.decompress(file.read_bytes()).splitlines(keepends=True))
            ]
            file.write_bytes(gzip.compress(b"".join(lines)))
        _build_locally(run, str(raw), flags, directory)

    directory = once("sessions", fill)
    return _input(str(directory / "raw"), flags, directory)


def _build_locally(run: Run, raw: str, flags: Flags, directory: Path) -> None:
    assert run("build-dataset", *flags, "--raw", raw, "--output", str(directory / "local")).code == 0


def _input(raw: str, flags: Flags, directory: Path) -> Input:
    return Input(raw, flags, json.loads((directory / "local" / "manifest.json").read_text())["content"])
