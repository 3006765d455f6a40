"""To which earlier dataset `--baseline RUNS` holds a run's."""

import os

import pytest

from pipelines.nightly_runs import find_baseline
from stage.errors import StorageError
from stage.manifest import Manifest


@pytest.fixture
def runs(tmp_path):
    """Two nights that trained; then one whose dataset failed its check, one without a dataset, and what is no run."""
    for night in ("2026-01-01", "2026-01-02", "2026-01-03", "2026-01-05"):
        dataset = Manifest(stage="dataset", run_id=night, content={"night": night})
        dataset.write(str(tmp_path / "runs" / night / "dataset"))
        if night != "2026-01-03":
            inputs = {"dataset": dataset.content_digest}
            Manifest(stage="model", run_id=night, inputs=inputs).write(str(tmp_path / "runs" / night / "model"))
    (tmp_path / "runs" / "2026-01-04" / "dataset").mkdir(parents=True)
    (tmp_path / "runs" / "2026-01-04-trial").mkdir()
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("name", "last"), [("2026-01-05", "2026-01-02"), ("2026-01-02", "2026-01-01"), ("2026-01-05t06-00", "2026-01-05")]
)
def test_a_run_is_held_to_the_last_before_it_that_trained(runs, capsys, name, last):
    assert find_baseline(f"{runs}/{name}/dataset", f"{runs}/") == f"{runs}/{last}/dataset"
    assert capsys.readouterr().err == f"--baseline: {runs}/{last}/dataset\n"


def test_a_first_run_is_held_to_none(runs, capsys):
    for directory in (runs, runs.parent / "new"):
        assert find_baseline(f"{directory}/2026-01-01/dataset", str(directory)) is None
        said = f"--baseline: none, since {directory} has no earlier run that has trained a model\n"
        assert capsys.readouterr().err == said


def test_a_run_that_was_built_again_since_it_trained_is_passed_over(runs):
    Manifest(stage="dataset", run_id="again", content={"night": "other"}).write(str(runs / "2026-01-02" / "dataset"))
    assert find_baseline(f"{runs}/2026-01-04/dataset", str(runs)) == f"{runs}/2026-01-01/dataset"


def test_a_damaged_run_is_passed_over_but_no_silent_store(runs, capsys, monkeypatch):
    (runs / "2026-01-02" / "model" / "manifest.json").write_text("{")
    assert find_baseline(f"{runs}/2026-01-04/dataset", str(runs)) == f"{runs}/2026-01-01/dataset"
    assert "2026-01-02/model/manifest.json" in (said := capsys.readouterr().err)
    assert "; its run is passed over\n" in said

    def silent(directory):
        raise StorageError(f"{directory}: no answer")

    monkeypatch.setattr(Manifest, "find", silent)
    with pytest.raises(StorageError):
        find_baseline(f"{runs}/2026-01-04/dataset", str(runs))


def test_a_dataset_that_is_named_is_taken_as_it_is(runs, monkeypatch, capsys):
    monkeypatch.chdir(runs)
    for baseline in (None, f"{runs}/2026-01-01/dataset", "misspelt", "gs://bucket/runs", "."):
        assert find_baseline("elsewhere/2026-01-04/dataset", baseline) == baseline
    assert capsys.readouterr().err == ""
    assert find_baseline("2026-01-04/dataset", os.curdir) == "./2026-01-02/dataset"


def test_a_run_may_be_a_link_and_a_dataset_is_none_of_runs(runs, tmp_path):
    (tmp_path / "disk").mkdir()
    (runs / "2026-01-06").symlink_to(tmp_path / "disk")
    (tmp_path / "runs-too").symlink_to(runs)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "link").symlink_to(tmp_path / "disk")
    for directory in (runs, tmp_path / "runs-too", f"{tmp_path}/deep/link/../runs"):
        assert find_baseline(f"{directory}/2026-01-06/dataset", str(runs)) == f"{runs}/2026-01-05/dataset"
    yesterday = f"{runs}/2026-01-01/dataset"
    assert find_baseline(f"{yesterday}/next/dataset", yesterday) == yesterday
