"""Which stages of a run are done; tests/integration/test_run.py runs them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from small_specs import small_spec

from features.data_window import DataWindow
from features.spec.digest import spec_digest
from features.spec.file import load_spec
from pipelines.aggregation.inputs import find_inputs
from pipelines.run import main, plan_stages
from stage.command_line import run_command
from stage.errors import Interrupted
from stage.manifest import Manifest


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({}, ""),
        ({"settings": {}}, ""),  # of before there was a key: as by its default
        ({"split": "validation"}, "was made from another split"),
        ({"settings": {"batch_size": 7}}, ""),  # on which no metric depends
        ({"settings": {"exclude_self": False}}, "was made from another section evaluate"),
        ({"candidates": {"items": 2, "digest": "d"}}, "was made from another choice of items"),
        ({"settings": {"other": 1}}, "is no metrics.json of this version"),
        ({"digests": {"dataset": "another", "model": "another"}}, "was made from another dataset and model"),
    ],
)
def test_a_run_is_evaluated_if_its_test_split_is(tmp_path: Path, changed: dict[str, object], difference: str) -> None:
    for name in ("dataset", "model"):
        Manifest(stage=name, run_id="r", content={"a": name}).write(str(tmp_path / name))  # type: ignore[arg-type]
    spec = load_spec("debian")
    metrics = {
        "digests": {n: Manifest.read(str(tmp_path / n), n).content_digest for n in ("dataset", "model")},  # type: ignore[arg-type]
        "split": "test",
        "settings": spec.evaluate.model_dump(mode="json"),
    }
    (tmp_path / "metrics.json").write_text(json.dumps(metrics | changed))
    *_, evaluate = plan_stages(spec, str(tmp_path), source="debian", raw=None, flags=[], job={})
    assert evaluate.in_the_way() == difference


def test_a_dataset_is_done_whatever_it_was_held_to_or_aggregated_by(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("{}")
    (tmp_path / "items.jsonl").write_text("{}")
    spec = small_spec(log={"path": "log.jsonl"}, sources={"items": {"path": "items.jsonl"}})
    raw = {"raw": find_inputs(spec, str(tmp_path), window=DataWindow()).digest}
    dataset, *_ = plan_stages(spec, str(tmp_path), source="s", raw=str(tmp_path), flags=[], job={})
    for inputs, difference in (
        (raw, ""),
        (raw | {"aggregate": "a", "schema": "b", "baseline": "c"}, ""),
        ({"raw": "another", "aggregate": "a"}, "was made from another input (raw)"),
    ):
        digest = spec_digest(spec, "build-dataset")
        Manifest(stage="dataset", run_id="r", spec_digest=digest, inputs=inputs).write(str(tmp_path / "dataset"))
        assert dataset.in_the_way() == difference


def test_a_model_is_done_if_it_was_made_from_the_dataset_with_its_window_and_pseudonyms(tmp_path: Path) -> None:
    spec, options = load_spec("debian"), {"data_end": "2026-01-31"}
    pseudonyms = {"pseudonyms": "digest of a key"}
    dataset = Manifest(stage="dataset", run_id="r", inputs={"raw": "x"} | pseudonyms, job_options=options)
    dataset.write(str(tmp_path / "dataset"))
    of_dataset = {"dataset": dataset.content_digest}
    _, train, _ = plan_stages(spec, str(tmp_path), source="debian", raw=None, flags=[], job={})
    for inputs, of_options, difference in (
        (of_dataset | pseudonyms, options, ""),
        (
            of_dataset | pseudonyms,
            {"data_end": "2026-01-30"},
            "was made from another --data-end (2026-01-30 there, 2026-01-31 here)",
        ),
        (of_dataset, options, "was made from another input (pseudonyms)"),
        ({"dataset": "another"} | pseudonyms, options, "was made from another input (dataset)"),
    ):
        digest = spec_digest(spec, "train")
        model = Manifest(stage="model", run_id="m", spec_digest=digest, inputs=inputs, job_options=of_options)
        model.write(str(tmp_path / "model"))
        assert train.in_the_way() == difference


@pytest.mark.parametrize("flags", [[], ["--overwrite"], ["--verbose"]])
def test_overwrite_reaches_stages_that_left_nothing_finished_and_verbose_all(
    tmp_path: Path, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may have left something unfinished, which a stage knows about, such as a training of another spec."""
    told: dict[str, list[str]] = {}

    def note(verb: str, given: list[str]) -> None:
        told[verb] = [flag for flag in given if flag in ("--overwrite", "--verbose")]

    monkeypatch.setattr("pipelines.run.run_verb", note)
    main(["--spec", "debian", "--output", str(tmp_path), *flags])
    assert told == dict.fromkeys(("build-dataset", "train", "evaluate"), flags)


def test_what_is_ranked_is_told_to_the_training_too() -> None:
    spec = load_spec("debian", ["evaluate.exclude_known=false"])
    _, *stages = plan_stages(spec, "run", source="debian", raw=None, flags=[], job={})
    assert [stage.verb for stage in stages] == ["train", "evaluate"]
    for stage in stages:
        sets = [after for word, after in zip(stage.arguments, stage.arguments[1:], strict=False) if word == "--set"]
        assert load_spec("debian", sets, verb=stage.verb).evaluate == spec.evaluate


def test_the_build_alone_is_told_of_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, bool] = {}
    monkeypatch.setattr("pipelines.run.run_verb", lambda verb, given: told.update({verb: "--shards=16" in given}))
    main(["--spec", "debian", "--output", str(tmp_path), "--shards", "16"])
    assert told == {"build-dataset": True, "train": False, "evaluate": False}


def test_an_interrupted_stage_is_one_error_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(verb: str, _: object) -> None:
        raise Interrupted(f"{verb}: interrupted; the same command goes on from here")

    monkeypatch.setattr("pipelines.run.run_verb", interrupted)
    assert run_command(main, ["--spec", "debian", "--output", str(tmp_path)]) == 75
    assert capsys.readouterr().err.splitlines() == [
        f"build-dataset: into {tmp_path}/dataset",
        "build-dataset: interrupted; the same command goes on from here",
    ]


def test_a_stage_that_is_used_wrongly_is_one_error_its_own(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines.cli", "run", "--spec", "debian", "--raw", str(tmp_path)]
    command += ["--output", str(tmp_path / "run"), "--data-start", "2026-01-01"]  # which debian's log has no times for
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert found.stderr.splitlines() == [
        f"build-dataset: into {tmp_path}/run/dataset",
        "error: --data-start, --data-end: the log has no sources.interactions.timestamp",
    ]
