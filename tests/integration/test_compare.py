"""A comparison on the sample that ships, killed midway; its tables are those of what it stored."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from places import SAMPLE
from waiting import killed_at_the_end, wait_for

SMALL = ["--set", "model={embedding_dim: 16, hidden: [32, 16]}", "--most-steps", "40"]


def _compare(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "pipelines.cli", "compare", "--spec", "debian", *map(str, arguments)]


def _trainings(output: Path) -> dict[str, list[str]]:
    studies = sorted((output / "studies").rglob("tuned/*.json"))
    return {path.stem: [line.rstrip(",") for line in path.read_text().splitlines()[1:-1]] for path in studies}


@pytest.mark.slow
def test_a_killed_comparison_goes_on_and_its_tables_follow_from_what_is_stored(tmp_path: Path) -> None:
    command = _compare(
        "--raw", SAMPLE, "--output", tmp_path, "--variants", "cfm", "--trials", "1", "--seeds", "2", *SMALL
    )
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running, killed_at_the_end(running):
        wait_for(lambda: _trainings(tmp_path), "a stored training", by=[running], seconds=600)
        running.send_signal(signal.SIGTERM)
        _, messages = running.communicate(timeout=120)
    assert running.returncode == 75, messages
    assert "the same command goes on" in messages
    before = _trainings(tmp_path)
    assert before

    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    after = _trainings(tmp_path)
    assert after["plain"][: len(before["plain"])] == before["plain"]
    assert {name: len(lines) for name, lines in after.items()} == {"cfm": 4, "plain": 4}
    results = json.loads((tmp_path / "results.json").read_text())
    rows = results["fractions"]["1"]["protocols"]["tuned"]["rows"]
    assert list(rows) == ["popularity", "co-occurrence", "plain", "cfm"]
    for row in rows.values():
        recall = row["metrics"]["overall/recall@10"]
        assert recall["low"] < recall["value"] < recall["high"]
    assert rows["popularity"]["metrics"]["tail/recall@10"]["value"] == 0
    assert rows["plain"]["seeds"] == [0, 1]
    assert (tmp_path / "plots" / "overall_and_tail.png").is_file()
    assert not list((tmp_path / "fraction-1" / "work").glob("*"))

    copy = tmp_path / "copy"
    copy.mkdir()
    os.symlink(tmp_path / "studies", copy / "studies")
    tables = subprocess.run(_compare("--output", copy, "--tables-only"), capture_output=True, text=True, check=False)
    assert tables.returncode == 0, tables.stderr
    assert tables.stdout == done.stdout == (tmp_path / "tables.md").read_text()
    assert (copy / "results.json").read_bytes() == (tmp_path / "results.json").read_bytes()
