"""Retraining on real clicks: a model of half a year before saves at least half of the steps."""

import gzip
import json
from datetime import datetime
from pathlib import Path

import pytest
from json_lines import json_lines
from places import full_data

from model import train
from pipelines import build_dataset
from pipelines.raw_logs import convert

# Clicks up to the last of these days; the last but one starts the test split, and the first the validation split.
BEFORE = ("2010-11-01", "2010-12-01", "2011-01-01")
NOW = ("2011-05-01", "2011-06-01", "2011-07-01")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wikispeedia") / "raw"
    convert.main(["wikispeedia", "--input", str(full_data("wikispeedia")), "--output", str(directory)])
    return directory


def _rows(raw: Path, pattern: str) -> list[dict[str, object]]:
    return [json.loads(line) for file in sorted(raw.glob(pattern)) for line in gzip.open(file)]


def _cut(raw: Path, directory: Path, *, end: str) -> Path:
    """The log up to a day, and the articles that were clicked, or clicked from, up to then."""
    last = datetime.fromisoformat(f"{end}T00:00:00+00:00").timestamp() * 1e6
    clicks = [row for row in _rows(raw, "interactions-click-*") if row["timestamp"] < last]
    seen = {row[column] for row in clicks for column in ("query_id", "item_id")}
    items = [row for row in _rows(raw, "items-*") if row["item_id"] in seen]
    directory.mkdir()
    for name, rows in (("interactions-click-0", clicks), ("items-0", items)):
        (directory / f"{name}.jsonl.gz").write_bytes(gzip.compress(json_lines(rows)))
    return directory


def _build(raw: Path, directory: Path, days: tuple[str, str, str]) -> str:
    validation, test, end = days
    output = str(directory / "dataset")
    splits = ["--set", f"split.validation_start={validation}T00:00:00Z", "--set", f"split.test_start={test}T00:00:00Z"]
    source = str(_cut(raw, directory, end=end))
    build_dataset.main(["--spec", "wikispeedia-clicks", "--raw", source, "--output", output, *splits])
    return output


SEEDS = range(3)
NEARLY = 0.99
"""Of the cold training's best: a validation of 880 pairs is uncertain by four times as much, and the best of many
validations is a lucky one."""


@pytest.mark.slow
def test_a_warm_start_needs_half_the_steps(raw: Path, tmp_path: Path) -> None:
    before, now = (_build(raw, tmp_path / days[-1], days) for days in (BEFORE, NOW))
    for seed in SEEDS:
        of_seed = tmp_path / str(seed)
        settings = [f"train.seed={seed}", "train.validate_every=10", "train.patience=12"]
        common = [part for setting in settings for part in ("--set", setting)]
        train.main(["--dataset", before, "--output", str(of_seed / "before"), *common])
        train.main(["--dataset", now, "--output", str(of_seed / "cold"), *common])
        warm_start = ["--warm-start", str(of_seed / "before")]
        train.main(["--dataset", now, "--output", str(of_seed / "warm"), *common, *warm_start])
    cold, warm = (_mean_curve([tmp_path / str(seed) / name for seed in SEEDS]) for name in ("cold", "warm"))
    level = NEARLY * max(cold.values())
    steps, reached = (next((s for s, recall in curve.items() if recall >= level), None) for curve in (cold, warm))
    print(f"cold: best Recall@50 {max(cold.values()):.4f}, {level:.4f} after {steps} steps")
    print(f"warm: best Recall@50 {max(warm.values()):.4f}, {level:.4f} after {reached} steps")
    assert steps is not None
    assert reached is not None
    assert reached <= steps / 2


def _mean_curve(models: list[Path]) -> dict[int, float]:
    """Step -> Recall@50 on validation, mean of the models; up to where the first of them stopped."""
    histories = [json.loads((model / "history.json").read_text()) for model in models]
    return {
        same[0]["step"]: sum(entry["recall@50"] for entry in same) / len(models)
        for same in zip(*histories, strict=False)
    }
