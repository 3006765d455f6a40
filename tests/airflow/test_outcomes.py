"""How a run ends by what its commands answer: in a real Airflow, with a command that does nothing else."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from airflow_home import Airflow

pytestmark = pytest.mark.airflow

COMMAND = """#!/bin/sh
echo "$@" >> "{home}/calls"
[ "$1" = gate ] && cat "{home}/verdict.json"
[ "$1" != "$(cat "{home}/failing")" ]
"""
WRITE_ALERTS = """
def write(alert):
    with open({path!r}, "a") as file:
        print(alert.kind, alert.message, sep=": ", file=file)
"""
PASSES = {"publish": True, "verdict": "replaces", "served": 6, "served_model": "/served/model"}
REFUSED = PASSES | {"publish": False, "verdict": "worse"}


@dataclass(frozen=True)
class Ended:
    """How a run went."""

    succeeded: bool
    calls: dict[str, list[str]]
    """Verb -> its other arguments."""
    alerts: list[str]

    def told(self, verb: str, flag: str) -> str:
        """What a verb was given with a flag."""
        return self.calls[verb][self.calls[verb].index(flag) + 1]


@dataclass(frozen=True)
class Nights:
    """An Airflow whose commands answer as they are told."""

    airflow: Airflow

    def run(self, *, verdict: dict[str, Any], failing: str = "", keep_days: int = 7) -> Ended:
        """`airflow dags test` of one interval.

        Args:
            verdict: What the gate prints.
            failing: The verb that fails.
            keep_days: As the settings have it.
        """
        home = self.airflow.home
        (home / "verdict.json").write_text(json.dumps(verdict))
        (home / "failing").write_text(failing)
        for left in ("calls", "outcomes"):
            (home / left).unlink(missing_ok=True)
        variable = {
            "command": str(home / "answering"),
            "directory": str(home),
            "alert": "write_outcomes.write",
            "retries": 0,
            "settings": {"output": "out", "keep_days": keep_days, "candidates": "offers/*.parquet"},
        }
        command = ["airflow", "dags", "test", "ssl_two_tower_retraining", "2009-08-02"]
        found = self.airflow.run(*command, variable=variable, check=False)
        calls = [line.split() for line in (home / "calls").read_text().splitlines()]
        alerts = (home / "outcomes").read_text().splitlines() if (home / "outcomes").exists() else []
        return Ended(found.returncode == 0, {verb: rest for verb, *rest in calls}, alerts)


@pytest.fixture(scope="module")
def nights(airflow: Airflow) -> Nights:
    """Airflow with a database."""
    airflow.run("airflow", "db", "migrate")
    command = airflow.home / "answering"
    command.write_text(COMMAND.format(home=airflow.home))
    command.chmod(0o755)
    (airflow.home / "dags" / "write_outcomes.py").write_text(WRITE_ALERTS.format(path=str(airflow.home / "outcomes")))
    return Nights(airflow)


def test_a_run_that_removes_nothing_publishes_and_tells(nights: Nights) -> None:
    ended = nights.run(verdict=PASSES, failing="remove-runs")
    assert ended.succeeded
    assert {"publish", "report"} <= ended.calls.keys()
    (alert,) = ended.alerts
    assert alert.startswith("failed: ")
    assert alert.endswith(": remove_runs failed; old runs stay, all else goes on")


@pytest.mark.parametrize(
    ("failing", "task", "before"),
    [("build-dataset", "build", set()), ("train", "train", {"build-dataset", "validate"})],
)
def test_a_run_whose_build_or_training_fails_publishes_nothing_and_has_removed_old_runs(
    nights: Nights, failing: str, task: str, before: set[str]
) -> None:
    ended = nights.run(verdict=PASSES, failing=failing)
    assert not ended.succeeded
    assert set(ended.calls) == before | {failing, "remove-runs"}
    (alert,) = ended.alerts
    assert alert.endswith(f" failed at {task}; the published model is as it was")


def test_a_refused_run_serves_the_model_before_with_its_own_items(nights: Nights) -> None:
    ended = nights.run(verdict=REFUSED)
    assert ended.succeeded
    run = "out/runs/2009-08-01"
    assert (ended.told("export", "--model"), ended.told("export", "--dataset")) == ("/served/model", f"{run}/dataset")
    assert (ended.told("publish", "--export"), ended.told("publish", "--after")) == (f"{run}/export", "6")
    (alert,) = ended.alerts
    assert alert.startswith("not_published: ")
    assert alert.endswith(": worse; the published model stays, and is exported again with this run's items")


def test_a_refused_run_without_a_model_to_serve_ends_with_its_report_and_without_keep_days_removes_no_run(
    nights: Nights,
) -> None:
    # As if what is published were of the future: the nights are told of it, or nobody would know that none publishes.
    verdict = REFUSED | {"served_model": None, "verdict": "older_interval"}
    ended = nights.run(verdict=verdict, keep_days=0)
    assert ended.succeeded
    assert "report" in ended.calls
    assert not ended.calls.keys() & {"export", "publish", "remove-runs"}
    (alert,) = ended.alerts
    assert alert.endswith(": older_interval; the published model stays")
