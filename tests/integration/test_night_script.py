"""The script that docs/publishing.md has for a night without Airflow, as it stands there, on two nights of a shop."""

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from json_lines import json_lines
from places import ROOT

SPEC = """
name: shop
sources:
  interactions: {path: "events/{date}.jsonl", query_id: user, item_id: product, event: null, timestamp: time,
                 timestamp_unit: iso}
  items: {path: products.csv, id: sku, title: name}
query: {features: {user: {kind: id}}}
item: {features: {product: {kind: id}, brand: {kind: categorical}, name_words: {kind: text, column: name}}}
split: {method: time, validation_seconds: 86400}
train: {epochs: 2, batch_size: 256, temperature: 0.2}
gate: {margin: 0.5, tail_margin: 0.5}
"""
NIGHTS = (date(2026, 1, 29), date(2026, 1, 30))


def write_shop(directory: Path) -> None:
    """29 days, each of 300 lines of 100 users, who like the brand that their number gives."""
    rng = np.random.default_rng(1)
    (directory / "shop.yaml").write_text(SPEC)
    events = directory / "raw" / "events"
    events.mkdir(parents=True)
    rows = [f"p{n},thing {n},b{n % 5}\n" for n in range(200)]
    (directory / "raw" / "products.csv").write_text("sku,name,brand\n" + "".join(rows))
    for day in (NIGHTS[-1] - timedelta(days) for days in range(29)):
        users = rng.integers(100, size=300)
        products = users % 5 + 5 * rng.integers(40, size=300)
        pairs = zip(users, products, strict=True)
        lines = ({"user": f"u{user}", "product": f"p{product}", "time": f"{day}T12:00:00Z"} for user, product in pairs)
        (events / f"{day}.jsonl").write_bytes(json_lines(lines))


def night_script() -> str:
    section = (ROOT / "docs" / "publishing.md").read_text().partition("## A night without Airflow\n")[2]
    return "\n".join(re.findall(r"^ {4}(.*)", section.partition("\n## ")[0], re.MULTILINE))


def run_night(directory: Path, day: date) -> str:
    """What it printed."""
    ran = subprocess.run(
        ["bash", "-c", night_script()],
        cwd=directory,
        env={**os.environ, "DAY": str(day)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout


def current(directory: Path) -> str:
    return (directory / "published" / "CURRENT").read_text().strip()


@pytest.mark.parametrize(
    ("day", "start", "test_start", "end"),
    [
        ("2026-04-23", "2026-03-27T00:00:00+02:00", "2026-04-23T00:00:00+02:00", "2026-04-24T01:00:00+03:00"),
        ("2026-04-24", "2026-03-28T00:00:00+02:00", "2026-04-24T01:00:00+03:00", "2026-04-25T00:00:00+03:00"),
        ("2026-05-21", "2026-04-24T01:00:00+03:00", "2026-05-21T00:00:00+03:00", "2026-05-22T00:00:00+03:00"),
        ("2026-10-29", "2026-10-02T00:00:00+03:00", "2026-10-29T00:00:00+03:00", "2026-10-30T00:00:00+02:00"),
    ],
)
def test_a_day_without_midnight_begins_an_hour_later(day: str, start: str, test_start: str, end: str) -> None:
    """In Egypt summer time begins at the midnight before 24 April 2026, and ends at the one after 29 October."""
    (at,) = re.findall(r"^at\(\).*?^}", night_script(), re.MULTILINE | re.DOTALL)
    script = f'set -e\n{at}\nat "27 days ago"; at; at "1 day"'
    zone = {"TZ": "EET-2EEST,M4.5.5/0,M10.5.4/24", "DAY": day}
    ran = subprocess.run(["bash", "-c", script], env={**os.environ, **zone}, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [start, test_start, end]


def test_an_interrupt_stops_the_night_though_the_command_that_ran_has_ended_well(tmp_path: Path) -> None:
    before, _, _ = night_script().partition("$S build-dataset")
    script = f"{before}\nsh -c 'kill -INT $PPID; sleep 0.1'; echo goes on"
    ran = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (75, "", "")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
def test_each_night_publishes_and_a_repeated_one_leaves_it(tmp_path: Path) -> None:
    write_shop(tmp_path)
    command = tmp_path / ".venv" / "bin" / "ssl-two-tower"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m pipelines.cli "$@"\n')
    command.chmod(0o755)
    for number, (day, verdict_told) in enumerate(zip(NIGHTS, ("first_model", "replaces"), strict=True), start=1):
        assert f"\ngate: {verdict_told}\n" in run_night(tmp_path, day)
        assert current(tmp_path) == str(number)
        assert (tmp_path / "runs" / str(day) / "report.html").exists()
    verdict = json.loads((tmp_path / "runs" / "2026-01-30" / "verdict.json").read_text())
    assert verdict["champion"] == "published/1"
    models = sorted(os.listdir(tmp_path / "published"))
    with (tmp_path / "raw" / "products.csv").open("a") as products:  # as a catalogue is by the next day
        products.write("p200,thing 200,b0\n")
    run_night(tmp_path, NIGHTS[-1])
    assert current(tmp_path) == "2"
    assert sorted(os.listdir(tmp_path / "published")) == models
