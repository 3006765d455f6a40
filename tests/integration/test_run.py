"""The whole path by the console command: raw logs to metrics, again, changed, and killed midway."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from in_process import run
from places import full_data
from waiting import killed_at_the_end, wait_for

from pipelines import cli

SMALL = [
    "--set",
    "model={embedding_dim: 8, hidden: [16, 8]}",
    "--set",
    "train={epochs: 3, batch_size: 64, temperature: 0.1}",
    "--set",
    "query.features={user: {kind: id}, country: {kind: categorical}}",
    "--set",
    "item.features={app: {kind: id}, tags: {kind: multivalued}, price: {kind: numeric, log1p: true}}",
]


def ssl_two_tower(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pipelines.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def run_here(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and stderr of a command that starts no stage."""
    code, _, said = run(cli.dispatch, *arguments)
    return code, said


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("raw") / "synthetic"
    sizes = ["--interactions", "6000", "--queries", "300", "--items", "150", "--seed", "7"]
    code, said = run_here("generate", *sizes, "--output", directory)
    assert code == 0, said
    return directory


@pytest.fixture(scope="module")
def finished(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("run") / "run"
    done = ssl_two_tower("run", "--spec", "synthetic", "--raw", raw, "--output", directory, *SMALL)
    assert done.returncode == 0, done.stderr
    return directory


def test_a_run_leaves_a_dataset_a_model_and_one_metrics_file(finished: Path) -> None:
    assert (finished / "dataset" / "manifest.json").is_file()
    assert (finished / "model" / "manifest.json").is_file()
    assert [path.relative_to(finished) for path in finished.rglob("metrics.json")] == [Path("metrics.json")]
    metrics = json.loads((finished / "metrics.json").read_bytes())
    for part in ("overall", "head", "tail", "cold"):
        assert set(metrics[part]) == {
            "pairs",
            "queries",
            "recall@10",
            "recall@50",
            "map@10",
            "map@50",
            "ndcg@10",
            "mrr",
        }
    assert set(metrics["baselines"]) == {"popularity", "co_occurrence"}
    # 150 items: 50 at random hold a third of the test items.
    assert metrics["overall"]["recall@50"] > 1 / 2
    history = json.loads((finished / "model" / "history.json").read_bytes())
    assert history[-1]["main_loss"] < history[0]["main_loss"]


def test_a_second_run_does_nothing_but_print_the_metrics(finished: Path, raw: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    done = ssl_two_tower("run", "--spec", "synthetic", "--raw", raw, "--output", finished, *SMALL)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        f"{verb}: done before, in {finished}/{name}"
        for verb, name in (("build-dataset", "dataset"), ("train", "model"), ("evaluate", "metrics.json"))
    ]
    recall = json.loads((finished / "metrics.json").read_bytes())["overall"]["recall@10"]
    assert f" {recall:.4f} " in done.stdout
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_it_ends_after_the_stage_that_is_named(finished: Path, raw: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset").symlink_to(finished / "dataset")
    (tmp_path / "model").symlink_to(finished / "model")
    command = ["run", "--spec", "synthetic", "--raw", raw, "--output", tmp_path, *SMALL, "--until"]
    for verb, stages in (("build-dataset", 1), ("train", 2)):
        code, said = run_here(*command, verb)
        assert code == 0, said
        assert [line.partition(":")[0] for line in said.splitlines()] == ["build-dataset", "train"][:stages]
    assert not (tmp_path / "metrics.json").exists()


def test_another_alpha_is_refused_without_overwrite(finished: Path, raw: Path) -> None:
    arguments = ["run", "--spec", "synthetic", "--raw", raw, "--output", finished, *SMALL, "--set", "ssl.alpha=0"]
    code, said = run_here(*arguments)
    assert code == 1
    assert "build-dataset: done before" in said
    assert (
        f"error: {finished}/model: was made from another spec (ssl.alpha is 0.3 there, 0.0 here); --overwrite makes it "
        "again, or give another --output\n"
    ) in said


def test_another_input_is_noticed(finished: Path, raw: Path, tmp_path: Path) -> None:
    other = tmp_path / "raw"
    other.mkdir()
    for path in sorted(raw.glob("*.gz")):
        (other / path.name).write_bytes(path.read_bytes())
    extra = sorted(other.glob("interactions-*"))[0]
    extra.with_name("interactions-99999.jsonl.gz").write_bytes(extra.read_bytes())
    code, said = run_here("run", "--spec", "synthetic", "--raw", other, "--output", finished, *SMALL)
    assert code == 1
    assert f"error: {finished}/dataset: was made from another input (raw); --overwrite makes it again" in said


def test_what_is_damaged_or_foreign_is_no_done_stage_and_made_again_with_overwrite(
    finished: Path, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    arguments = ["run", "--spec", "synthetic", "--raw", raw, "--output", run, *SMALL]
    for foreign in ("[of another program", "[1]"):
        (run / "metrics.json").write_text(foreign)
        code, said = run_here(*arguments)
        assert (code, said.count("done before")) == (1, 2)
        assert f"error: {run}/metrics.json: is no metrics.json of this version; --overwrite makes it again" in said

    (run / "model" / "weights.npz").write_bytes(b"half")
    missing = min((run / "dataset" / "train").iterdir())
    missing.unlink()
    assert run_here(*arguments) == (
        1,
        f"error: {run}/dataset: is incomplete ({missing}: named by the manifest but missing; make the dataset again); "
        "--overwrite makes it again, or give another --output\n",
    )
    told: list[tuple[str, bool]] = []
    monkeypatch.setattr("pipelines.run.run_verb", lambda verb, flags: told.append((verb, "--overwrite" in flags)))
    code, said = run_here(*arguments, "--overwrite")
    assert code == 0, said
    assert told == [("build-dataset", True), ("train", True), ("evaluate", True)]


@pytest.mark.slow
def test_of_real_links_it_finds_as_many_as_ever(tmp_path: Path) -> None:
    code, said = run_here("convert", "wikispeedia", "--input", full_data("wikispeedia"), "--output", tmp_path / "raw")
    assert code == 0, said
    command = ["run", "--spec", "wikispeedia-links", "--raw", tmp_path / "raw", "--output", tmp_path / "run"]
    done = ssl_two_tower(*command, "--set", "ssl.alpha=0")
    assert done.returncode == 0, done.stderr
    overall = json.loads((tmp_path / "run" / "metrics.json").read_bytes())["overall"]
    # Found were 0.282 and 0.547.
    assert overall["recall@10"] > 0.26
    assert overall["recall@50"] > 0.52


@pytest.mark.slow
def test_a_terminated_run_exits_75_and_the_same_command_finishes_it(finished: Path, raw: Path, tmp_path: Path) -> None:
    os.symlink(finished / "dataset", tmp_path / "dataset")
    arguments = ["run", "--spec", "synthetic", "--raw", raw, "--output", tmp_path, *SMALL, "--set", "train.epochs=20"]
    arguments += ["--set", "train.patience=null"]
    command = [sys.executable, "-m", "pipelines.cli", *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running, killed_at_the_end(running):
        wait_for(lambda: any((tmp_path / "model").glob("checkpoints/*")), "a checkpoint", by=[running])
        running.send_signal(signal.SIGTERM)
        _, messages = running.communicate(timeout=120)
    assert running.returncode == 75, messages
    assert not (tmp_path / "model" / "manifest.json").exists()
    done = ssl_two_tower(*arguments)
    assert done.returncode == 0, done.stderr
    history = json.loads((tmp_path / "model" / "history.json").read_bytes())
    assert len(history) == 20
    assert (tmp_path / "metrics.json").is_file()
