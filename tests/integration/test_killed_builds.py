"""Builds killed with SIGKILL at seeded moments: no reader takes what they leave, and the next run replaces it."""

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from needs_java import NEEDS_JAVA
from places import ROOT, SAMPLE

from features.dataset import Dataset
from model import train
from stage.command_line import run_command
from stage.errors import StageError
from stage.manifest import Manifest

pytestmark = pytest.mark.slow

KILLS_IN_A_ROW = 4


@dataclass
class Command:
    """A command that writes an output, in a process group of its own."""

    arguments: list[str]
    output: Path
    seconds: float = 0.0
    """Of an undisturbed run."""
    content: dict[str, str] = field(default_factory=dict)
    """Its digests."""

    def start(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "pipelines.cli", *self.arguments, "--output", str(self.output)]
        return subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def run(self) -> None:
        """Runs it to its end, and looks at what it left: what the manifest names, and nothing else."""
        process = self.start()
        _, said = process.communicate(timeout=900)
        assert process.returncode == 0, said
        manifest = json.loads((self.output / "manifest.json").read_text())
        found = {path.relative_to(self.output).as_posix() for path in self.output.rglob("*") if path.is_file()}
        assert found == {"manifest.json"} | {file["name"] for file in manifest["files"]}
        assert [path for path in self.output.rglob("*") if path.is_dir() and not any(path.iterdir())] == []
        self.content = self.content or manifest["content"]
        assert manifest["content"] == self.content

    def make_unfinished(self) -> None:
        """What a run is before its manifest."""
        (self.output / "manifest.json").rename(self.output / ".unfinished")

    def mark(self) -> bytes:
        """The run whose output this is, until it is finished."""
        try:
            return (self.output / ".unfinished").read_bytes()
        except FileNotFoundError:
            return b""

    def kill(self, after: Callable[[], bool], seconds: float) -> bool:
        """Starts it, and kills it so many seconds after its mark and a condition are there; whether it still ran."""
        of_the_last = self.mark()
        process = self.start()
        while process.poll() is None and not (self.mark() not in (b"", of_the_last) and after()):
            time.sleep(0.002)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=seconds)
        running = process.returncode is None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
        return running


@pytest.fixture
def undisturbed(tmp_path: Path) -> Callable[[list[str]], Command]:
    """`undisturbed(arguments)`: a command, run once to its end elsewhere."""

    def run(arguments: list[str]) -> Command:
        command = Command(arguments, tmp_path / "undisturbed")
        start = time.monotonic()
        command.run()
        command.seconds, command.output = time.monotonic() - start, tmp_path / "output"
        return command

    return run


def moments(command: Command, seed: int) -> Iterator[tuple[Callable[[], bool], float]]:
    """When to kill: two in three at times spread over the run, the others soon after something of it has appeared.

    How long a run takes depends on what else the machine does, so the last tenth is found by what is there.
    """
    draw = random.Random(seed)

    def there(pattern: str) -> bool:
        return any(command.output.glob(pattern))

    # The temporary files go right before the manifest is written.
    last_steps: list[Callable[[], bool]] = [
        lambda: there("train/*"),
        lambda: there("transform/*") and not there(".*-tft"),
        lambda: there("statistics/*"),
        lambda: there("transform/*") and not there(".*-tft"),
    ]
    for number in itertools.count():
        if number % 3 == 2:
            yield last_steps[number // 3 % len(last_steps)], draw.random() * 0.01
        else:
            # A golden ratio apart, so spread however many are taken.
            yield (lambda: True), (number * 0.618 + draw.random() / 10) % 1 * command.seconds * 0.8


def is_refused(output: Path, stage: Any) -> bool:
    if (output / "manifest.json").exists():
        Manifest.read(str(output), stage, verify=True)
        return False
    with pytest.raises(StageError, match=r"the directory (is not there|has no manifest\.json; )"):
        Manifest.read(str(output), stage)
    return True


FEATURES = [
    'query.features={"package": {"kind": "id", "vocabulary": "package"}}',
    'item.features={"package": {"kind": "id", "vocabulary": "package"}, "section": {"kind": "categorical"}}',
]
"""Few, to be quick."""


def test_a_build_killed_at_any_moment(undisturbed: Callable[[list[str]], Command], capsys: Any) -> None:
    flags = ["--shards", "2", "--set", FEATURES[0], "--set", FEATURES[1]]
    build = undisturbed(["build-dataset", "--spec", "debian", "--raw", str(SAMPLE), *flags])
    killed = refused = 0
    for after, seconds in moments(build, seed=1):
        killed += build.kill(after, seconds)
        if is_refused(build.output, "dataset"):
            refused += 1
            model = str(build.output.parent / "model")
            assert run_command(train.main, ["--dataset", str(build.output), "--output", model]) == 1
            assert "expected a finished dataset" in capsys.readouterr().err
        else:
            # It was quicker, or killed after its manifest: what is there is whole.
            assert Dataset.open(str(build.output), verify=True).manifest.content == build.content
            build.make_unfinished()
        # On a machine that gets faster meanwhile, more kills come too late.
        if (killed >= 20 and refused >= 15) or killed == 40:
            break
        if killed % KILLS_IN_A_ROW == KILLS_IN_A_ROW - 1:
            build.run()
            build.make_unfinished()
    assert refused >= 15
    build.run()


@NEEDS_JAVA
def test_a_spark_aggregation_killed_at_any_moment(undisturbed: Callable[[list[str]], Command]) -> None:
    flags = ["--spec", "debian", "--raw", str(SAMPLE), "--shards", "2"]
    aggregate = undisturbed(["aggregate-spark", *flags, "--master", "local[2]"])
    refused = 0
    # Of the whole run, but counted from its mark: the last may come too late.
    for fraction in (0.1, 0.3, 0.5, 0.7):
        aggregate.kill(lambda: True, fraction * aggregate.seconds)
        if is_refused(aggregate.output, "aggregate"):
            refused += 1
        else:
            assert Manifest.read(str(aggregate.output), "aggregate").content == aggregate.content
            aggregate.make_unfinished()
    assert refused >= 2
    aggregate.run()
