"""A build whose own input lies below its output, where making the output again would delete it."""

import json
from pathlib import Path
from typing import Any

import pytest
from small_specs import small_tree

from pipelines.cli import dispatch
from stage.command_line import run_command
from stage.manifest import Manifest

SPEC = small_tree(log={"path": "log.jsonl"}, sources={"items": {"path": "items.jsonl"}})
STAGES = {"build-dataset": "dataset", "aggregate-spark": "aggregate"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """What a build reads, in one directory beside the output and in one below it."""
    for place in ("in", "out/in"):
        directory = tmp_path / place
        directory.mkdir(parents=True)
        (directory / "log.jsonl").write_text('{"query_id": "u", "item_id": "a"}\n')
        (directory / "items.jsonl").write_text('{"item_id": "a"}\n')
        (directory / "spec.yaml").write_text(json.dumps(SPEC))
        (directory / "key").write_text("0123456789abcdef")
    (tmp_path / "out/in-link").symlink_to(tmp_path / "in")
    (tmp_path / "in-to-out").symlink_to(tmp_path / "out/in")
    (tmp_path / "in/logs-linked.jsonl").symlink_to(tmp_path / "out/in/log.jsonl")
    return tmp_path


def is_kept(home: Path) -> bool:
    return {path.name for path in (home / "out/in").iterdir()} == {"log.jsonl", "items.jsonl", "spec.yaml", "key"}


INSIDE = [
    ({"--raw": "out/in"}, "--raw", "out/in"),
    ({"--raw": "out/in-link"}, "--raw", "out/in-link"),
    ({"--raw": "in-to-out"}, "--raw", "in-to-out"),
    ({"--spec": "out/in/spec.yaml"}, "--spec", "out/in/spec.yaml"),
    ({"--set": "sources.pseudonymise={key_file: HOME/out/in/key}"}, "sources.pseudonymise.key_file", "out/in/key"),
    ({"--set": "sources.interactions.path=HOME/out/in/log.jsonl"}, "sources.interactions.path", "out/in/log.jsonl"),
    ({"--set": "sources.items.path=HOME/out/in/*.jsonl"}, "sources.items.path", "out/in/items.jsonl"),
    ({"--set": "sources.interactions.path=l*.jsonl"}, "sources.interactions.path", "in/logs-linked.jsonl"),
]


@pytest.mark.parametrize(
    ("verb", "state", "changed", "named", "path"),
    [
        *(("build-dataset", "finished", *inside) for inside in INSIDE),
        ("build-dataset", "unfinished", *INSIDE[0]),
        ("aggregate-spark", "finished", *INSIDE[3]),
        ("aggregate-spark", "unfinished", *INSIDE[-1]),
    ],
)
def test_an_input_below_the_output_is_refused_and_kept(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verb: str,
    state: str,
    changed: dict[str, str],
    named: str,
    path: str,
) -> None:
    monkeypatch.chdir(home)
    stage: Any = STAGES[verb]
    if state == "finished":
        Manifest(stage=stage, run_id="r", spec=SPEC).write("out")
    else:
        (home / "out/.unfinished").write_text(json.dumps({"stage": stage, "run_id": "r"}))
    flags = {"--spec": "in/spec.yaml", "--raw": "in", "--output": "out"} | changed
    arguments = [word.replace("HOME", str(home)) for flag in flags.items() for word in flag]
    assert run_command(dispatch, [verb, *arguments, "--overwrite"]) == 2
    got = path if named.startswith("--") else f"{home}/{path}"  # a file, as workers get it
    said = capsys.readouterr().err
    assert said == f"error: {named}: expected a place outside of --output (out), got {got}\n"
    assert is_kept(home)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"--spec": "out/in/spec.yaml"}, "--spec"),
        ({"--set": "sources.pseudonymise={key_file: out/in/key}"}, "sources."),
    ],
)
def test_so_is_a_spec_beside_an_aggregate(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, str],
    named: str,
) -> None:
    monkeypatch.chdir(home)
    flags = {"--spec": "in/spec.yaml", "--aggregated": "aggregate", "--output": "out"} | changed
    assert run_command(dispatch, ["build-dataset", *(word for flag in flags.items() for word in flag)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {named}")
    assert is_kept(home)


def test_a_shipped_spec_lies_nowhere(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    arguments = ["--spec", "debian", "--aggregated", "aggregate", "--output", "."]
    assert run_command(dispatch, ["build-dataset", *arguments]) == 2
    assert "--aggregated: expected a place outside" in capsys.readouterr().err
    arguments[-1] = str(home)
    arguments[3] = "/nowhere"
    assert run_command(dispatch, ["build-dataset", *arguments]) == 1
    assert "/nowhere: expected a finished aggregate" in capsys.readouterr().err
