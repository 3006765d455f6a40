"""A plan goes to workers that stand elsewhere."""

import json
from pathlib import Path

import pytest
from small_specs import small_tree

from features.spec.file import load_spec
from pipelines.aggregation.plan import Plan, make_plan
from pipelines.build_dataset import plan_build
from pipelines.build_options import make_parser
from stage.manifest import Manifest

SPEC = small_tree(log={"path": "log-*.jsonl"}, sources={"items": {"path": "items.jsonl"}})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs; `in` leads to what is read."""
    (tmp_path / "data").mkdir()
    (tmp_path / "in").symlink_to("data")
    (tmp_path / "in/log-1.jsonl").write_text('{"query_id": "u", "item_id": "a", "event": "e", "at": 1}\n')
    (tmp_path / "in/items.jsonl").write_text('{"item_id": "a"}\n')
    (tmp_path / "spec.yaml").write_text(json.dumps(SPEC))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan_of(raw: str, output: str, *flags: str) -> Plan:
    arguments = make_parser().parse_args(["--spec", "spec.yaml", "--raw", raw, "--output", output, *flags])
    return make_plan(arguments, load_spec("spec.yaml", ["sources.interactions.timestamp=at"] if flags else []))


@pytest.mark.parametrize("raw", ["in", "./in/", "data/../in"])
def test_relative_directories_are_those_of_who_gave_them_and_the_input_is_the_same(home: Path, raw: str) -> None:
    plan = plan_of(raw, "out")
    assert plan.job.target.directory == f"{home}/out"
    named = [(file.path, file.name) for file in plan.inputs.files]
    assert named == [(f"{home}/in/log-1.jsonl", "log-1.jsonl"), (f"{home}/in/items.jsonl", "items.jsonl")]
    assert plan.inputs.digest == plan_of(f"{home}/in", f"{home}/out").inputs.digest
    assert plan_of(raw, "gs://bucket/out").job.target.directory == "gs://bucket/out"


def test_where_a_directory_above_would_make_a_glob_of_them_they_stay_relative(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "p[1]").mkdir()
    for name in ("data", "spec.yaml"):
        (home / name).rename(home / "p[1]" / name)
    monkeypatch.chdir(home / "p[1]")
    plan = plan_of("data", "out")
    assert plan.job.target.directory == "out"
    assert [file.path for file in plan.inputs.files] == ["data/log-1.jsonl", "data/items.jsonl"]


def test_so_are_those_of_a_build_that_takes_up_an_aggregate(home: Path) -> None:
    spec = load_spec("spec.yaml")
    job = plan_of("in", "aggregate").job
    Manifest(stage="aggregate", **job.as_manifests_say(), counts={"shards": 1}).write("aggregate")
    flags = ["--spec", "spec.yaml", "--aggregated", "aggregate", "--output", "out"]
    build = plan_build(make_parser().parse_args(flags))
    assert build.source.job.spec == spec
    assert build.source.job.target.directory == f"{home}/out"
    assert build.source.directory == f"{home}/aggregate"  # type: ignore[union-attr]
    assert build.temporary.startswith(f"{home}/out/.")


@pytest.mark.parametrize(("end", "warned"), [("2199-01-01", True), ("2026-01-01", False)])
def test_a_window_that_ends_in_the_future_is_warned_of(
    home: Path, capsys: pytest.CaptureFixture[str], end: str, warned: bool
) -> None:
    plan_of("in", "out", "--data-end", end)
    later = "once its model is published, none whose data ends earlier can be"
    said = f"warning: --data-end: {end} is in the future; {later}\n"
    assert capsys.readouterr().err == (said if warned else "")
