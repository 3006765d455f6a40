"""Real runs of the local variant: days one after another, and what goes wrong on the last.

Tests here follow each other, as days do.
"""

import hashlib
import json
import os
import shutil
import signal
import stat
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow_home import ROOT, Airflow
from raw_days import WIKISPEEDIA, RawDays, generated, wikispeedia
from waiting import wait_for

from stage.manifest import Manifest, digest

pytestmark = pytest.mark.airflow

SMALL = ["model.embedding_dim=32", "model.hidden=[64,32]", "train.epochs=3", "train.batch_size=256"]
LENIENT = ["gate={margin: 0.3, tail_margin: 0.5, floor: 0, tail_floor: 0}"]


@dataclass(frozen=True)
class Retraining:
    """An Airflow, its data, and what its runs leave."""

    airflow: Airflow
    raw: RawDays
    output: Path
    alerts: list[dict[str, Any]] = field(default_factory=list)
    """Of the last run."""

    def run(self, day: str, *overrides: str, raw: Path | None = None, retries: int = 0, **settings: Any) -> bool:
        """`airflow dags test` of the interval that is a day; whether the run succeeded."""
        told = self.airflow.home / "alerts.jsonl"
        told.unlink(missing_ok=True)
        settings |= {
            "spec": self.raw.spec,
            "raw": str(raw or self.raw.directory),
            "output": str(self.output),
            "overrides": [*self.raw.overrides, *SMALL, *LENIENT, *overrides],
        }
        variable = {
            "command": str(self.airflow.home / "ssl-two-tower"),
            "alert": "write_alerts.write",
            "delay_seconds": 3600,  # over for years
            "retries": retries,
            "retry_seconds": 0,
            "settings": settings,
        }
        end = date.fromisoformat(day) + timedelta(days=1)
        command = ["airflow", "dags", "test", "ssl_two_tower_retraining", end.isoformat()]
        found = self.airflow.run(*command, variable=variable, check=False)
        (self.airflow.home / f"run-{day}.log").write_text(found.stdout + found.stderr)
        self.alerts[:] = [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []
        return found.returncode == 0

    def manifest(self, day: str, stage: Any, *, of: str | None = None) -> Manifest:
        """Of a stage's output."""
        return Manifest.read(str(self.output / "runs" / day / (of or stage)), stage, verify=True)

    @property
    def last_good(self) -> str:
        """The number that is served before the last day."""
        return str(len(self.raw.days) - 1)

    @property
    def current(self) -> str:
        """The number that is served."""
        path = self.output / "published" / "CURRENT"
        return path.read_text().strip() if path.exists() else "none"


WRITE_ALERTS = """
import dataclasses, json

def write(alert):
    with open({path!r}, "a") as file:
        print(json.dumps(dataclasses.asdict(alert), default=str), file=file)
"""


@pytest.fixture(scope="module")
def retraining(airflow: Airflow, tmp_path_factory: pytest.TempPathFactory) -> Retraining:
    """Airflow with a database, the command of this checkout, and somebody who is told of alerts."""
    directory = tmp_path_factory.mktemp("retraining")
    airflow.run("airflow", "db", "migrate")
    command = airflow.home / "ssl-two-tower"
    command.write_text(
        f'#!/bin/sh\necho $$ > "{directory}/$1.pid"\n'
        f'PYTHONPATH="{ROOT}" exec "{sys.executable}" -m pipelines.cli "$@"\n'
    )
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    (airflow.home / "dags" / "write_alerts.py").write_text(WRITE_ALERTS.format(path=str(airflow.home / "alerts.jsonl")))
    make: Callable[[Path], RawDays] = wikispeedia if WIKISPEEDIA.is_dir() else generated
    return Retraining(airflow, make(directory / "raw"), directory / "out")


@pytest.fixture(scope="module")
def good_days(retraining: Retraining) -> Retraining:
    """All days but the last, each run one after another, and an old run; Airflow's logs are beside its database."""
    (retraining.output / "runs" / "2009-01-01").mkdir(parents=True)
    for number, day in enumerate(retraining.raw.days[:-1], start=1):
        assert retraining.run(day, keep_days=1), (retraining.airflow.home / f"run-{day}.log").read_text()[-5000:]
        assert (retraining.current, retraining.alerts) == (str(number), [])
    return retraining


def test_each_day_is_tested_on_the_model_of_the_day_before(good_days: Retraining) -> None:
    days = good_days.raw.days
    before: dict[str, str] = {}
    for number, day in enumerate(days[:-1]):
        end = f"{days[number + 1]}T00:00:00Z"
        start = date.fromisoformat(day) - timedelta(days=13)
        dataset, model = good_days.manifest(day, "dataset"), good_days.manifest(day, "model")
        options = {"data_start": f"{start}T00:00:00Z", "data_end": end, "test_start": f"{day}T00:00:00Z"}
        assert dataset.job_options == model.job_options == options
        published = Manifest.read(str(good_days.output / "published" / str(number + 1)), "export", verify=True)
        assert published == good_days.manifest(day, "export")
        assert published.job_options["model"] == str(good_days.output / "runs" / day / "model")
        assert published.job_options["items_end"] == end
        assert dataset.inputs.get("baseline") == before.get("baseline")
        assert model.inputs.get("warm_start") == before.get("model")
        schema = (good_days.output / "runs" / day / "dataset/statistics/schema.pbtxt").read_bytes()
        baseline = digest([dataset.content_digest, hashlib.sha256(schema).hexdigest()])
        before = {"baseline": baseline, "model": model.content_digest}
        metrics = json.loads((good_days.output / "runs" / day / "metrics.json").read_text())
        assert metrics["overall"]["pairs"] == dataset.counts["examples/test"] > 100
        assert (good_days.output / "runs" / day / "report.html").stat().st_size > 100_000


def test_old_runs_are_gone_but_for_those_whose_models_are_published(good_days: Retraining) -> None:
    assert sorted(path.name for path in (good_days.output / "runs").iterdir()) == list(good_days.raw.days[:-1])


def test_a_corrupted_day_leaves_the_champion(good_days: Retraining, tmp_path: Path) -> None:
    day = good_days.raw.days[-1]
    shutil.copytree(good_days.raw.directory, tmp_path / "raw", copy_function=os.link)
    (part,) = (tmp_path / "raw" / f"date={day}").glob("interactions-*")
    content = part.read_bytes()
    part.unlink()
    part.write_bytes(content[: len(content) // 2])
    assert not good_days.run(day, raw=tmp_path / "raw", retries=1)
    assert [(alert["kind"], alert["details"]["task"]) for alert in good_days.alerts] == [
        ("retried", "build"),
        ("failed", "build"),
    ]
    assert str(part) in (good_days.airflow.home / f"run-{day}.log").read_text()
    assert Manifest.find(str(good_days.output / "runs" / day / "dataset")) is None
    assert good_days.current == good_days.last_good


def test_a_wrong_setting_is_not_tried_again(good_days: Retraining) -> None:
    day = good_days.raw.days[-1]
    assert not good_days.run(day, "split.sed=1", retries=1)
    assert [(alert["kind"], alert["details"]["task"]) for alert in good_days.alerts] == [("failed", "build")]
    assert "split.sed" in (good_days.airflow.home / f"run-{day}.log").read_text()


@pytest.mark.slow
def test_a_failing_training_leaves_the_champion(good_days: Retraining) -> None:
    day = good_days.raw.days[-1]
    assert not good_days.run(day, "train.learning_rate=1e30")
    assert [(alert["kind"], alert["details"]["task"]) for alert in good_days.alerts] == [("failed", "train")]
    assert "not finite at step" in (good_days.airflow.home / f"run-{day}.log").read_text()
    assert good_days.current == good_days.last_good


@pytest.mark.slow
def test_a_worse_candidate_leaves_the_champion_which_serves_the_day_s_items_and_is_reported(
    good_days: Retraining,
) -> None:
    day, before = good_days.raw.days[-1], good_days.raw.days[-2]
    untrained = ["train.learning_rate=1e-9", "train.epochs=1", "gate.margin=0.08"]
    assert good_days.run(day, *untrained, warm_start=False)
    (alert,) = good_days.alerts
    assert (alert["kind"], alert["details"]["verdict"]) == ("not_published", "worse")
    assert alert["details"]["champion"] == str(good_days.output / "published" / good_days.last_good)
    assert good_days.current == str(len(good_days.raw.days))
    served = Manifest.read(str(good_days.output / "published" / good_days.current), "export", verify=True)
    assert served.inputs["model"] == good_days.manifest(before, "model").content_digest
    assert served.inputs["dataset"] == good_days.manifest(day, "dataset").content_digest
    assert served.job_options["data_end"] == f"{day}T00:00:00Z"
    assert (good_days.output / "runs" / day / "report.html").exists()


@pytest.mark.slow
def test_a_training_that_is_killed_and_run_again_ends_the_same(good_days: Retraining, tmp_path: Path) -> None:
    from model import train  # noqa: PLC0415 -- brings TensorFlow, which the other tests leave to Airflow's tasks

    day, before = good_days.raw.days[-1], good_days.current
    run = good_days.output / "runs" / day
    (run.parent.parent.parent / "train.pid").unlink(missing_ok=True)
    shutil.rmtree(run / "model", ignore_errors=True)
    with ThreadPoolExecutor() as threads:
        killer = threads.submit(_kill_once_saved, run, run.parent.parent.parent / "train.pid")
        assert not good_days.run(day)
        killer.result()
    assert Manifest.find(str(run / "model")) is None
    assert good_days.current == before
    assert good_days.run(day)
    assert good_days.current == str(int(before) + 1)
    assert "build-dataset: done before" in (good_days.airflow.home / f"run-{day}.log").read_text()
    command = ["--dataset", str(run / "dataset"), "--output", str(tmp_path / "model")]
    settings = [part for override in SMALL for part in ("--set", override)]
    start = good_days.output / "runs" / good_days.raw.days[-2] / "model"
    train.main([*command, "--warm-start", str(start), *settings])
    assert Manifest.read(str(tmp_path / "model"), "model").content == good_days.manifest(day, "model").content


@pytest.mark.slow
def test_a_run_of_the_past_has_the_same_dataset_and_publishes_nothing(good_days: Retraining, tmp_path: Path) -> None:
    from pipelines import build_dataset  # noqa: PLC0415 -- brings Beam

    day, before = good_days.raw.days[1], good_days.current
    dataset, model = good_days.manifest(day, "dataset"), good_days.manifest(day, "model")
    shutil.rmtree(good_days.output / "runs" / day / "dataset")
    assert good_days.run(day)
    assert good_days.manifest(day, "dataset").content == dataset.content
    assert good_days.manifest(day, "model") == model
    assert good_days.current == before
    assert [alert["details"]["verdict"] for alert in good_days.alerts] == ["older_interval"]
    options = [f"--{name.replace('_', '-')}={value}" for name, value in dataset.job_options.items()]
    overrides = [part for override in good_days.raw.overrides for part in ("--set", override)]
    source = ["--spec", good_days.raw.spec, "--raw", str(good_days.raw.directory), *overrides, *options]
    build_dataset.main([*source, "--output", str(tmp_path / "dataset")])
    assert Manifest.read(str(tmp_path / "dataset"), "dataset").content == dataset.content


def _kill_once_saved(run: Path, pid: Path) -> None:
    """Kills the training as soon as it has something to go on from."""
    checkpoints = run / "model" / "checkpoints"
    wait_for(lambda: pid.exists() and any(checkpoints.glob("step-*.npz")), "a checkpoint", seconds=600)
    os.kill(int(pid.read_text()), signal.SIGKILL)
