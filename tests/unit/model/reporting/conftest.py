"""A small run with its report."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from features.dataset import Dataset
from model import evaluate, report, train
from stage.command_line import run_command


@pytest.fixture(scope="session")
def run(hostile_dataset: Dataset, once: Any) -> Path:
    """Trained, evaluated, reported; in a directory whose name means harm too, for it is shown."""
    name = "<img src=x onerror=alert(1)>"
    return once("reported", lambda directory: _report(hostile_dataset, directory / name)) / name


def _report(hostile_dataset: Dataset, directory: Path) -> None:
    shutil.copytree(hostile_dataset.directory, directory / "dataset")
    both = ["--dataset", str(directory / "dataset")]
    assert run_command(train.main, [*both, "--output", str(directory / "model")]) == 0
    more = ["--model", str(directory / "model"), "--output", str(directory)]
    assert run_command(evaluate.main, [*both, *more]) == 0
    assert run_command(report.main, ["--run", str(directory)]) == 0
