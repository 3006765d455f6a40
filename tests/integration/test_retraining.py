"""Retraining on real clicks: a model of half a year before saves at least half of the steps."""

import gzip
import json
import os
from datetime import datetime
from pathlib import Path

import pytest

from model import train
from pipelines import build_dataset
from pipelines.raw_logs import convert

DATA = Path(os.environ.get("SSL_TWO_TOWER_DATA", Path(__file__).parents[2] / "../shared/data")) / "wikispeedia"

# Clicks up to the last of these days; the last but one starts the test split, and the first the validation split.
BEFORE = ("2010-11-01", "2010-12-01", "2011-01-01")
NOW = ("2011-05-01", "2011-06-01", "2011-07-01")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not DATA.is_dir():
        pytest.skip(f"no full data: {DATA} is not there (SSL_TWO_TOWER_DATA says where)")
    directory = tmp_path_factory.mktemp("wikispeedia") / "raw"
    convert.main(["wikispeedia", "--input", str(DATA), "--output", str(directory)])
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
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (directory / f"{name}.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    return directory


def _build(raw: Path, directory: Path, days: tuple[str, str, str]) -> str:
    validation, test, end = days
    output = str(directory / "dataset")
    splits = ["--set", f"split.validation_start={validation}T00:00:00Z", "--set", f"split.test_start={test}T00:00:00Z"]
    source = str(_cut(raw, directory, end=end))
    build_dataset.main(["--spec", "wikispeedia-clicks", "--raw", source, "--output", output, *splits])
    return output


@pytest.mark.slow
def test_a_warm_start_needs_half_the_steps(raw: Path, tmp_path: Path) -> None:
    before, now = (_build(raw, tmp_path / days[-1], days) for days in (BEFORE, NOW))
    settings = ["--set", "train.validate_every=10", "--set", "train.patience=12"]
    train.main(["--dataset", before, "--output", str(tmp_path / "before"), *settings])
    train.main(["--dataset", now, "--output", str(tmp_path / "cold"), *settings])
    warm_start = ["--warm-start", str(tmp_path / "before")]
    train.main(["--dataset", now, "--output", str(tmp_path / "warm"), *settings, *warm_start])
    cold, warm = (json.loads((tmp_path / name / "history.json").read_text()) for name in ("cold", "warm"))
    target, steps = max((entry["recall@50"], -entry["step"]) for entry in cold)
    reached = next((entry["step"] for entry in warm if entry["recall@50"] >= target), None)
    print(f"cold: Recall@50 {target:.4f} after {-steps} steps; warm start: after {reached} steps")
    assert reached is not None
    assert reached <= -steps / 2
