"""Which of the retraining's runs go."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from manifests import rewrite

from features.spec.file import load_spec
from pipelines import publish, remove_runs
from stage import storage
from stage.command_line import run_command
from stage.errors import StorageError
from stage.manifest import Manifest

SPEC = load_spec("debian").model_dump(mode="json")
NIGHTS = ("2009-07-01", "2009-07-02", "2009-07-03", "2009-07-04", "2009-07-05t06-00")


@pytest.fixture
def output(tmp_path):
    """Runs of five nights, the second and the third published, and what somebody else left beside them."""
    for night in NIGHTS:
        run = tmp_path / "runs" / night
        model = Manifest(stage="model", run_id=night, spec=SPEC, content={"weights": night})
        model.write(str(run / "model"))
        inputs = {"model": model.content_digest}
        Manifest(stage="export", run_id=night, spec=SPEC, inputs=inputs).write(str(run / "export"))
        (run / "dataset").mkdir()
        (run / "dataset" / "file").write_text(night)
    (tmp_path / "runs" / "2009-07-01-notes").mkdir()
    return tmp_path


def finish(output, night):
    """Has the run's dataset be the one that its model was trained on."""
    dataset = Manifest(stage="dataset", run_id=night, content={"night": night})
    dataset.write(str(output / "runs" / night / "dataset"))
    rewrite(output / "runs" / night / "model", inputs={"dataset": dataset.content_digest})


def publish_night(output, night):
    export, to = output / "runs" / night / "export", output / "published"
    assert run_command(publish.main, ["--export", str(export), "--to", str(to), "--set", "gate.keep=2"]) == 0


def remove(output, before, *flags, code=0):
    """The runs that are left."""
    where = ["--runs", str(output / "runs"), "--published", str(output / "published")]
    assert run_command(remove_runs.main, [*where, "--before", before, *map(str, flags)]) == code
    return sorted({path.name for path in (output / "runs").glob("*")} - {"2009-07-01-notes"})


def test_old_runs_go_but_for_those_that_are_read_again(output, capsys):
    publish_night(output, "2009-07-02")
    publish_night(output, "2009-07-03")
    capsys.readouterr()
    assert remove(output, "2009-07-01") == list(NIGHTS)
    assert remove(output, "2009-07-05", "--keep", "2009-07-01", "--keep", "2009-07-04") == list(NIGHTS)
    assert remove(output, "2009-07-05", "--keep", "2009-07-01") == [*NIGHTS[:3], NIGHTS[4]]
    assert capsys.readouterr().out == f"removed: {output}/runs/2009-07-04\n"
    # Not only the served number's: any may be the champion, or be gone back to.
    assert remove(output, "2009-07-06") == ["2009-07-02", "2009-07-03"]
    assert (output / "runs" / "2009-07-01-notes").exists()


def test_the_last_run_that_trained_stays_since_a_later_one_may_be_held_to_it(output, capsys):
    publish_night(output, "2009-07-02")
    capsys.readouterr()
    for night in ("2009-07-01", "2009-07-03"):
        finish(output, night)
    assert remove(output, "2009-07-02") == list(NIGHTS)
    assert capsys.readouterr().err.endswith("5 runs: 1 the last that trained, 4 of 2009-07-02 or later\n")
    assert remove(output, "2009-07-05") == ["2009-07-02", "2009-07-03", "2009-07-05t06-00"]


def test_a_run_with_the_published_models_in_it_is_never_removed(output, capsys):
    runs = output / "runs"
    published = runs / "2009-07-01/published"
    assert run_command(publish.main, ["--export", str(runs / "2009-07-02/export"), "--to", str(published)]) == 0
    capsys.readouterr()
    assert remove(output, "2009-07-05", "--published", published, code=2) == list(NIGHTS)
    assert capsys.readouterr().err == (
        f"error: --published: expected a place outside of the runs, which may be removed, got {published}\n"
    )
    assert (published / "CURRENT").exists()
    # Nor one in which a link leads to them: the next publish would begin anew.
    published.rename(output / "elsewhere")
    published.symlink_to(output / "elsewhere")
    remove(output, "2009-07-05", "--published", published, code=2)
    assert published.is_symlink()


def test_a_run_that_is_a_link_stays_and_so_does_what_is_no_directory(output, capsys):
    publish_night(output, "2009-07-02")
    runs, disk = output / "runs", output / "disk"
    disk.mkdir()
    (runs / "2009-07-01").rename(disk / "first")
    (runs / "2009-07-01").symlink_to(disk / "first")
    (runs / "2009-06-29").write_text("no directory")
    (runs / "2009-06-28").symlink_to(disk / "of a disk that isn't there")
    capsys.readouterr()
    assert remove(output, "2009-07-04") == ["2009-06-28", "2009-06-29", *NIGHTS[:2], *NIGHTS[3:]]
    assert capsys.readouterr() == (
        f"removed: {runs}/2009-07-03\n",
        f"{runs}/2009-07-01: a link to {disk}/first; remove both by hand\n",
    )
    assert (disk / "first" / "model" / "manifest.json").exists()


def test_it_says_why_nothing_goes(output, capsys):
    for night in ("2009-07-02", "2009-07-03"):
        publish_night(output, night)
    (output / "runs" / "2009-07-01" / "model" / "manifest.json").write_text("{")
    (output / "runs" / "2009-07-04" / "dataset" / ".unfinished").write_text(json.dumps({"run_id": ago(1)}))
    capsys.readouterr()
    before = f"nothing removed: {output}/runs has 5 runs: "
    for flags in ((), ("--json",), ("--dry-run",)):
        assert remove(output, "2009-07-05", *flags) == list(NIGHTS)
        out, err = capsys.readouterr()
        why = "1 of an unknown model, 2 published, 1 begun lately, 1 of 2009-07-05 or later"
        assert (out, err.splitlines()[-1]) == ("", before + why)
    assert remove(output, "2009-07-04", "--keep", "2009-07-01", "2009-07-02") == list(NIGHTS)
    why = "2 named by --keep, 1 published, 2 of 2009-07-04 or later"
    out, err = capsys.readouterr()
    assert (out, err.splitlines()[-1]) == ("", before + why)


def test_a_directory_without_runs_or_that_is_not_there(output, capsys):
    """As where the directory above the runs is named, or none."""
    publish_night(output, "2009-07-02")
    capsys.readouterr()
    remove(output, "2009-07-06", "--runs", output)
    assert capsys.readouterr() == ("", f"nothing removed: {output} has no runs\n")
    remove(output, "2009-07-06", "--runs", output / "rums", code=2)
    assert capsys.readouterr() == ("", f"error: --runs: there is no directory {output}/rums\n")


def test_a_first_night_may_remove_runs_before_there_is_one(tmp_path, capsys):
    remove(tmp_path, "2009-07-06")
    assert capsys.readouterr() == ("", f"nothing removed: {tmp_path}/published has no model\n")


def test_a_day_of_a_log_is_no_run(output, capsys):
    publish_night(output, NIGHTS[1])
    (output / "runs" / "2009-06-30").mkdir()
    (output / "runs" / "2009-06-30" / "log.jsonl").touch()
    capsys.readouterr()
    remove(output, "2009-07-01")
    assert capsys.readouterr().err == (
        f"nothing removed: {output}/runs has 6 runs: 1 no run of the retraining, 5 of 2009-07-01 or later\n"
    )


def test_a_dry_run_removes_nothing(output, capsys):
    publish_night(output, "2009-07-02")
    capsys.readouterr()
    assert remove(output, "2009-07-04", "--dry-run") == list(NIGHTS)
    runs = [f"{output}/runs/2009-07-01", f"{output}/runs/2009-07-03"]
    assert capsys.readouterr().out == "".join(f"would remove: {run}\n" for run in runs)
    assert remove(output, "2009-07-03", "--json") == list(NIGHTS[1:])
    assert capsys.readouterr().out == f'{{"run": "{runs[0]}", "removed": true}}\n'


def test_a_model_that_is_published_no_more_goes(output):
    for night in ("2009-07-02", "2009-07-03", "2009-07-04"):
        publish_night(output, night)
    assert remove(output, "2009-07-05") == ["2009-07-03", "2009-07-04", "2009-07-05t06-00"]


def test_nothing_goes_where_nothing_is_published_or_a_number_is_damaged(output, capsys):
    assert remove(output, "2009-07-06") == list(NIGHTS)
    assert capsys.readouterr().err == f"nothing removed: {output}/published has no model\n"
    publish_night(output, "2009-07-02")
    publish_night(output, "2009-07-03")
    (output / "published" / "1" / "manifest.json").write_text("{")
    assert remove(output, "2009-07-06") == list(NIGHTS)
    assert capsys.readouterr().err.endswith(f"nothing removed: {output}/published/1 isn't whole\n")


def test_nothing_goes_where_the_served_number_has_no_manifest(output, capsys):
    publish_night(output, "2009-07-02")
    publish_night(output, "2009-07-03")
    (output / "published" / "2" / "manifest.json").unlink()
    assert remove(output, "2009-07-06") == list(NIGHTS)
    assert capsys.readouterr().err.endswith(f"nothing removed: {output}/published/2 isn't whole\n")


def test_half_a_number_is_in_the_way_until_current_is_past_it(output, capsys):
    """As a publish to gs:// leaves it that is at work, or was killed."""
    publish_night(output, "2009-07-02")
    half = output / "published" / "2" / "published.json"
    half.parent.mkdir()
    half.write_text('{"number": 2, "run_id": "r"}')
    assert remove(output, "2009-07-06") == list(NIGHTS)
    assert capsys.readouterr().err == f"nothing removed: {output}/published/2 isn't whole\n"
    publish_night(output, "2009-07-03")
    assert (half.exists(), (output / "published" / "CURRENT").read_text()) == (True, "3\n")
    assert remove(output, "2009-07-06") == ["2009-07-02", "2009-07-03"]


def test_a_run_whose_model_cannot_be_told_stays_and_others_go(output, capsys):
    publish_night(output, "2009-07-02")
    (output / "runs" / "2009-07-01" / "model" / "manifest.json").write_text("{")
    assert remove(output, "2009-07-05") == ["2009-07-01", "2009-07-02", "2009-07-05t06-00"]
    assert "2009-07-01/model/manifest.json" in (said := capsys.readouterr().err)
    assert said.endswith("; its run stays\n")


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_run_that_cannot_be_deleted_is_named_and_others_go(output, capsys, make_undeletable, flags):
    publish_night(output, "2009-07-02")
    runs = output / "runs"
    make_undeletable(runs / "2009-07-01" / "dataset" / "deep")
    capsys.readouterr()
    assert "2009-07-03" not in remove(output, "2009-07-04", *flags, code=1)
    out, err = capsys.readouterr()
    told = re.escape(
        f"{runs}/2009-07-01/dataset: cannot be deleted: File name too long ({runs}/2009-07-01/dataset/deep/"
    )
    at = rf"{told}[d/]+\)\n"
    assert re.fullmatch(f"{at}error: 1 of 2 runs could not be removed; the first: {at}", err)
    assert out == (
        f'{{"run": "{runs}/2009-07-01", "removed": false}}\n{{"run": "{runs}/2009-07-03", "removed": true}}\n'
        if flags
        else f"removed: {runs}/2009-07-03\n"
    )


def test_what_a_kill_left_of_a_run_goes_the_next_time(output, monkeypatch):
    publish_night(output, "2009-07-02")
    run = output / "runs" / "2009-07-01"
    for name in ("verdict.json", "report.html"):
        (run / name).write_text("{}")
    delete = storage.delete

    def delete_one(path):
        if path.endswith("/model"):
            raise KeyboardInterrupt
        delete(path)

    monkeypatch.setattr(storage, "delete", delete_one)
    assert "2009-07-01" in remove(output, "2009-07-02", code=75)
    assert [path.name for path in run.iterdir()] == ["model"]
    monkeypatch.undo()
    assert "2009-07-01" not in remove(output, "2009-07-02")


@pytest.mark.parametrize("silent", ["runs/2009-07-03/model", "published/1"])
def test_nothing_goes_while_a_store_does_not_answer(output, capsys, monkeypatch, silent):
    publish_night(output, "2009-07-02")
    find = Manifest.find

    def answer(directory):
        if directory.endswith(silent):
            raise StorageError(f"{directory}: cannot be read: no answer")
        return find(directory)

    monkeypatch.setattr(Manifest, "find", answer)
    assert remove(output, "2009-07-06", code=1) == list(NIGHTS)
    assert capsys.readouterr().err.endswith(f"{silent}: cannot be read: no answer\n")


def ago(hours):
    """A run's id, as a command has it that began so many hours ago."""
    return f"{datetime.now(UTC) - timedelta(hours=hours):%Y%m%dT%H%M%S}-0123ab"


@pytest.mark.parametrize(("hours", "stays"), [(0, True), (71, True), (73, False)])
@pytest.mark.parametrize("stage", ["aggregate", "dataset", "model", "export"])
def test_a_run_that_a_backfill_may_be_writing_stays(output, capsys, stage, hours, stays):
    publish_night(output, "2009-07-02")
    run = output / "runs" / "2009-07-01"
    (run / "model" / "manifest.json").unlink()
    (run / stage).mkdir(exist_ok=True)
    (run / stage / ".unfinished").write_text(json.dumps({"stage": stage, "run_id": ago(hours)}))
    remove(output, "2009-07-03")
    assert run.exists() is stays
    assert (f"{run}: its {stage} was begun at 20" in capsys.readouterr().err) is stays


@pytest.mark.parametrize(("hours", "stays"), [(1, True), (73, False)])
def test_a_run_between_two_of_its_tasks_stays(output, hours, stays):
    publish_night(output, "2009-07-02")
    run = output / "runs" / "2009-07-01"
    Manifest(stage="dataset", run_id=ago(hours)).write(str(run / "dataset"))
    (run / "model" / "manifest.json").unlink()
    remove(output, "2009-07-03")
    assert run.exists() is stays


def test_marks_that_name_no_time_keep_nothing(output):
    publish_night(output, "2009-07-02")
    for night, mark in (("2009-07-01", "{"), ("2009-07-03", '{"run_id": 5}')):
        (output / "runs" / night / "dataset" / ".unfinished").write_text(mark)
    assert remove(output, "2009-07-04") == ["2009-07-02", "2009-07-04", "2009-07-05t06-00"]


@pytest.mark.parametrize(
    "names",
    [
        ("yesterday",),
        ("2009-7-6",),
        ("2009-07-77",),
        ("2009-07-06t24-00",),
        ("2009-07-06", "--keep", "2009-07-01/"),
        ("2009-07-06", "--keep", "2009-02-29"),
    ],
)
def test_a_name_that_is_no_run_s_is_refused(output, capsys, names):
    publish_night(output, "2009-07-02")
    assert remove(output, *names, code=2) == list(NIGHTS)
    flag = "--keep" if "--keep" in names else "--before"
    said = f"error: {flag}: expected a run's name, as 2026-01-31 or 2026-01-31t06-00, got '{names[-1]}'\n"
    assert capsys.readouterr().err == said


def test_a_run_to_keep_that_is_not_there_is_refused(output, capsys):
    publish_night(output, "2009-07-02")
    capsys.readouterr()
    # The last is there, but at no such time.
    for kept in ("2009-06-30", "2009-07-05"):
        assert remove(output, "2009-07-04", "--keep", "2009-07-01", kept, code=2) == list(NIGHTS)
        span = "it has 5 runs, 2009-07-01 to 2009-07-05t06-00"
        assert capsys.readouterr() == (
            "", f"error: --keep: expected the name of a run in {output}/runs, got '{kept}'; {span}\n"
        )  # fmt: skip
    for nights, has in (((), "no runs"), (("2009-07-03",), "1 run, 2009-07-03")):
        runs = output / f"runs{len(nights)}"
        runs.mkdir()
        for night in nights:
            (runs / night).mkdir()
        where = ("--runs", runs, "--keep", "2009-07-01", "--dry-run")
        assert remove(output, "2009-07-04", *where, code=2) == list(NIGHTS)
        assert capsys.readouterr().err.endswith(f"got '2009-07-01'; it has {has}\n")


def test_nothing_goes_where_it_is_unknown_what_is_needed(output, capsys):
    publish_night(output, "2009-07-02")
    publish_night(output, "2009-07-03")
    rewrite(output / "published" / "2", inputs={})
    assert remove(output, "2009-07-06", code=1) == list(NIGHTS)
    assert "published/2/manifest.json: expected the digest of its model, found none" in capsys.readouterr().err


def test_a_run_of_nothing_goes(output):
    publish_night(output, NIGHTS[1])
    (output / "runs" / "2009-06-30").mkdir()
    remove(output, "2009-07-01")
    assert not (output / "runs" / "2009-06-30").exists()
