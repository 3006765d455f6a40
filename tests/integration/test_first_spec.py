"""The spec that README shows first makes a model of the log and the table that it describes, as they are."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from in_process import run

from model.training.checkpoint import start_run
from pipelines import cli
from stage.manifest import Manifest
from stage.output import start_output

README = Path(__file__).parents[2] / "README.md"


def test_it_runs_on_what_readme_describes_though_its_users_are_few(
    build: Any, write_raw: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = README.read_text(encoding="utf-8")
    (spec,) = re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    header = "sku,name,brand,category,price,tags"
    line = {"user": "u1", "product": "p7", "time": "2026-01-31T12:00:00Z"}
    assert f"`{header}`" in text
    assert f"`{json.dumps(line)}`" in text
    products = [f'p{n},Red shoe {n},"b{n % 3}",shoes,{n}.5,red|sale' for n in range(40)]
    events = [line | {"user": f"u{n % 6}", "product": f"p{n * 7 % 40}"} for n in range(120)]
    raw = write_raw(
        tmp_path / "shop",
        {
            "products.csv": "\n".join([header, *products]).encode(),
            "events.jsonl": "\n".join(map(json.dumps, events)).encode(),
        },
    )
    output = tmp_path / "run"
    built = build(output / "dataset", yaml.safe_load(spec), raw=raw)
    assert built.code == 0, built.stderr
    assert "warning" not in built.stderr
    progress = [line for line in built.stderr.splitlines() if line.startswith("build-dataset ")]
    shown = {"lines 120", "items 40", "pairs 120", "encoded queries 6", "encoded items 40", "examples 120"}
    assert set(progress[-1].split(", ")[1:]) == shown
    counts = built.manifest["counts"]
    assert (counts["lines/read"], counts["lines/kept"]) == (120, 120)
    # Users and products have periods of 6 and 40, together of 120: every line is a pair of its own.
    assert sum(counts[f"examples/{split}"] for split in ("train", "validation", "test")) == 120
    assert sorted(built.vocabulary("item_tags")) == ["red", "sale"]
    assert built.entities("items")["p7"]["title"] == "Red shoe 7"

    # A training of another spec that ended before it had saved anything is in nobody's way.
    start_output(str(output / "model"), "model", run_id="another", overwrite=False)
    start_run(str(output / "model"), Manifest(stage="model", run_id="another", spec_digest="another"))
    # That stages are processes of their own, test_run.py shows.
    monkeypatch.setattr("pipelines.run.run_verb", lambda verb, flags: cli.dispatch([verb, *flags]))
    command = ["run", "--spec", output / "dataset.yaml", "--raw", raw, "--output", output, "--set", "train.epochs=1"]
    code, _, said = run(cli.dispatch, *command)
    assert code == 0, said
    assert "build-dataset: done before" in said
    files = len(built.files("train"))
    assert files < 8  # six users fill no eight shards
    assert f"train.input_streams: the files with training examples, {files}, don't divide into 8 streams" in said
    assert (output / "metrics.json").is_file()
