"""What a build finds out about its input before it starts."""

import shutil
from pathlib import Path

import pytest

from pipelines.cli import dispatch
from stage.command_line import run_command

SAMPLE = Path(__file__).parents[2] / "data" / "debian-sample"


def test_a_local_build_that_will_not_fit_says_so_before_it_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for items in SAMPLE.glob("items-*"):
        shutil.copy(items, tmp_path)
    log, output = tmp_path / "log.jsonl", tmp_path / "dataset"
    with log.open("wb") as file:
        file.truncate(1 << 40)  # a hole: a TiB to read, no block on disk
    where = ["--set", f"sources.interactions.path={log}", "--raw", str(tmp_path)]
    assert run_command(dispatch, ["build-dataset", "--spec", "debian", *where, "--output", str(output)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: this input needs about 2050 GiB of memory for a build on one machine, which has ")
    assert "--runner=DataflowRunner" in said
    assert said.count("\n") == 1
    assert not output.exists()
