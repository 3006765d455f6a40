"""What a writer refuses, and what a run leaves whenever it is killed."""

import json

import pytest

from stage.errors import StageError, UsageError
from stage.manifest import File, MadeFrom, Manifest
from stage.output import (
    check_own,
    finish_output,
    give_way,
    last_run_of,
    refuse_unfinished,
    refuse_within,
    resume_output,
    start_output,
    write_file,
)


def names(directory):
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file())


def test_a_finished_output_is_refused_without_overwrite(output):
    before = names(output)
    assert before == ["manifest.json", "train/a.gz", "train/b.gz"]
    with pytest.raises(StageError, match="out: is finished already; --overwrite makes it again"):
        start_output(str(output), "dataset", run_id="s", overwrite=False)
    assert names(output) == before


@pytest.mark.parametrize(
    ("spec", "inputs", "options", "another"),
    [
        ("", {}, {}, ""),
        ("", {}, {"data_end": None}, ""),
        ("x", {}, {}, ", made from another spec (not that of run r)"),
        ("", {"raw": "x", "baseline": "y"}, {}, ", made from another input (baseline, raw)"),
        ("", {}, {"data_end": "2026-01-02"}, ", made from another --data-end (none there, 2026-01-02 here)"),
        (
            "x",
            {"raw": "x"},
            {"test_start": "2026-01-02"},
            ", made from another spec (not that of run r) and input (raw) and --test-start (none there, 2026-01-02 "
            "here)",
        ),
    ],
)
def test_a_finished_output_of_another_is_refused_by_what_differs(output, spec, inputs, options, another):
    made_from = MadeFrom(
        spec, inputs, job_options=options, spec_differs=lambda found: f"not that of run {found.run_id}"
    )
    with pytest.raises(StageError) as caught:
        start_output(str(output), "dataset", run_id="s", overwrite=False, made_from=made_from)
    assert str(caught.value) == f"{output}: is finished already{another}; --overwrite makes it again"


def test_with_overwrite_a_finished_output_is_cleared_and_counts_as_unfinished(output):
    start_output(str(output), "dataset", run_id="s", overwrite=True)
    assert names(output) == [".unfinished"]
    assert Manifest.find(str(output)) is None


@pytest.mark.parametrize(
    ("below", "what"),
    [
        ("model/manifest.json", "another output in model"),
        ("a/b/.unfinished", "another output in a/b"),
        ("published/CURRENT", "published models in published"),
    ],
)
def test_what_others_made_below_is_never_deleted(output, below, what):
    (output / below).parent.mkdir(parents=True)
    (output / below).touch()
    before = names(output)
    with pytest.raises(StageError, match=f"out: holds {what}, which would be deleted; give another --output"):
        start_output(str(output), "dataset", run_id="s", overwrite=True)
    assert names(output) == before


def test_an_input_within_the_output_is_refused(output):
    refuse_within(str(output), None, f"{output.parent}/other", named="--schema")
    for path in (str(output), f"{output}/statistics/schema.pbtxt"):
        with pytest.raises(UsageError, match=f"^--schema: expected a place outside of --output .*/out.*, got {path}$"):
            refuse_within(str(output), None, path, named="--schema")


def test_links_among_the_inputs_of_a_directory_are_looked_at_themselves(output):
    here, alias = output.parent / "here", output.parent / "alias"
    here.mkdir()
    (here / "link").symlink_to(output / "train" / "a.gz")
    alias.symlink_to(output)
    (output / "away").symlink_to(here / "a")
    for paths in ((here / "a", here / "link"), (alias / "away", alias / "b")):
        with pytest.raises(UsageError, match=r"^--raw: expected a place outside of --output"):
            refuse_within(str(output), *map(str, paths), named="--raw")


def test_what_lies_elsewhere_is_not_taken_for_a_path_below_here(output, monkeypatch):
    monkeypatch.chdir(output)
    refuse_within(".", "gs://bucket/schema.pbtxt", f"{output}-1", named="--schema")
    refuse_within("gs://bucket/out", "gs:/bucket/out/schema.pbtxt", "gs://bucket/out-1", named="--schema")
    for path, directory in (("a", "."), ("gs:/bucket/a", "./"), ("gs://bucket/out/a", "gs://bucket/out/")):
        with pytest.raises(UsageError, match="expected a place outside of --output"):
            refuse_within(directory, path, named="--schema")


@pytest.mark.parametrize("overwrite", [False, True])
def test_another_stages_output_is_never_touched(output, overwrite):
    before = names(output)
    expected = (
        "out: expected to find nothing, or a model to make again, found a finished dataset; give another --output"
    )
    with pytest.raises(StageError, match=expected):
        start_output(str(output), "model", run_id="s", overwrite=overwrite)
    Manifest(stage="aggregate", run_id="r").write(str(output))
    with pytest.raises(StageError, match="or an export to make again, found a finished aggregate; give another"):
        start_output(str(output), "export", run_id="s", overwrite=overwrite)
    assert names(output) == before


@pytest.mark.parametrize("content", [b"{}", b'{"name": "my web app", "icons": []}', b"not json"])
def test_a_manifest_that_is_none_of_ours_is_never_touched(output, content):
    (output / "manifest.json").write_bytes(content)
    before = names(output)
    with pytest.raises(StageError, match=r"out/manifest\.json: .*; nothing there was touched, give another --output"):
        start_output(str(output), "dataset", run_id="s", overwrite=True)
    assert names(output) == before


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("mark", "found"),
    [
        (b'{"stage": "model", "run_id": "r"}', "an unfinished model"),
        (b'{"stage": "aggregate", "run_id": "r"}', "an unfinished aggregate"),
        *((mark, "an unfinished output that names no stage") for mark in (b"", b"7", b"\xff")),
    ],
)
def test_what_another_stage_has_begun_is_never_touched(tmp_path, mark, found, overwrite):
    (tmp_path / ".unfinished").write_bytes(mark)
    (tmp_path / "half").write_bytes(b"")
    with pytest.raises(StageError, match=f"or an export to make again, found {found}; give another --output"):
        start_output(str(tmp_path), "export", run_id="s", overwrite=overwrite)
    assert names(tmp_path) == [".unfinished", "half"]
    # Who has made sure that it is its own, as train has by its checkpoints, may go on.
    resume_output(str(tmp_path), run_id="s")
    assert json.loads((tmp_path / ".unfinished").read_bytes()) == {"stage": "model", "run_id": "s"}
    assert names(tmp_path) == [".unfinished", "half"]


def test_a_file_is_described_as_it_was_written(tmp_path):
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    made = write_file(str(tmp_path), "deep/file", chunks=iter([b"ab", b"", b"c"]), records=7)
    assert made == File(name="deep/file", size=3, sha256=abc, records=7)
    assert (tmp_path / "deep" / "file").read_bytes() == b"abc"


@pytest.mark.parametrize(("mark", "run"), [(b'{"run_id": "r"}', "r"), (b'{"run_id": 7}', None), (b"{}", None)])
def test_a_mark_says_which_run_was_last(tmp_path, mark, run):
    (tmp_path / ".unfinished").write_bytes(mark)
    assert last_run_of(str(tmp_path)) == run


def test_a_run_that_another_one_has_followed_writes_no_manifest_and_one_that_tries_again_no_second(tmp_path):
    made = Manifest(stage="dataset", run_id="first")
    start_output(str(tmp_path), "dataset", run_id="first", overwrite=False)
    start_output(str(tmp_path), "dataset", run_id="second", overwrite=False)
    expected = (
        f"^{tmp_path}: another run was started into it meanwhile and has taken it over; let that one end, or give each "
        "its own --output$"
    )
    with pytest.raises(StageError, match=expected):
        finish_output(str(tmp_path), made)
    assert names(tmp_path) == [".unfinished"]
    second = made.model_copy(update={"run_id": "second"})
    finish_output(str(tmp_path), second)
    finish_output(str(tmp_path), second.model_copy(update={"counts": {"tries": 2}}))
    with pytest.raises(StageError, match=expected):
        finish_output(str(tmp_path), made)
    assert names(tmp_path) == ["manifest.json"]
    assert Manifest.read(str(tmp_path), "dataset") == second


def test_what_a_run_wrote_goes_from_what_another_has_taken_over(tmp_path):
    directory, written = str(tmp_path / "out"), ("pairs/first-0.parquet", ".first-tft/deep/a", "pairs/second-0.parquet")
    give_way(directory, run_id="first")
    start_output(directory, "dataset", run_id="first", overwrite=False)
    for name in written:
        write_file(directory, name, chunks=[b"1"])
    give_way(directory, run_id="first")
    assert names(tmp_path / "out") == sorted([".unfinished", *written])
    start_output(directory, "dataset", run_id="second", overwrite=False)
    for name in written:
        write_file(directory, name, chunks=[b"1"])
    with pytest.raises(StageError, match=f"^{directory}: another run was started into it meanwhile"):
        give_way(directory, run_id="first")
    assert sorted(str(path.relative_to(directory)) for path in (tmp_path / "out").rglob("*")) == [
        ".unfinished", "pairs", "pairs/second-0.parquet",
    ]  # fmt: skip


def test_the_manifest_goes_before_anything_else_is_deleted(output, monkeypatch):
    left = []
    monkeypatch.setattr("stage.output.storage.clear", lambda *_, **__: left.extend(names(output)))
    start_output(str(output), "dataset", run_id="s", overwrite=True)
    assert left == [".unfinished", "train/a.gz", "train/b.gz"]


def test_killed_before_the_manifest_is_gone_a_run_has_left_its_mark(output, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(path):
        raise Killed

    monkeypatch.setattr("stage.output.storage.delete", kill)
    with pytest.raises(Killed):
        start_output(str(output), "dataset", run_id="s", overwrite=True)
    assert names(output) == [".unfinished", "manifest.json", "train/a.gz", "train/b.gz"]
    assert Manifest.read(str(output), "dataset").content == {"x": "1"}
    # So the run whose manifest is still there is no longer the last one.
    with pytest.raises(StageError, match="another run was started into it meanwhile"):
        check_own(str(output), run_id="r")
    check_own(str(output), run_id="s")


def test_what_may_still_be_written_is_refused_until_its_manifest_is_there(tmp_path):
    refuse_unfinished(str(tmp_path))
    start_output(str(tmp_path), "dataset", run_id="s", overwrite=False)
    with pytest.raises(StageError, match="holds an unfinished output, which a job may still be writing; wait"):
        refuse_unfinished(str(tmp_path))
    Manifest(stage="dataset", run_id="s").write(str(tmp_path))
    refuse_unfinished(str(tmp_path))


def test_the_mark_is_deleted_once_the_manifest_is_there(tmp_path, monkeypatch):
    there, made = [], Manifest(stage="dataset", run_id="s")
    start_output(str(tmp_path), "dataset", run_id="s", overwrite=False)
    monkeypatch.setattr("stage.output.storage.delete", lambda _: there.append(Manifest.find(str(tmp_path))))
    finish_output(str(tmp_path), made)
    assert there == [made]


@pytest.mark.parametrize("left", [".unfinished.0a1b2c3d.tmp", ".writable-067c26fa.tmp.b7e57ac4.tmp"])
def test_a_run_killed_before_its_mark_is_whole_is_replaced(left, tmp_path):
    (tmp_path / left).write_bytes(b"")
    start_output(str(tmp_path), "dataset", run_id="s", overwrite=False)
    assert names(tmp_path) == [".unfinished"]


def test_what_an_unfinished_run_left_is_cleared_or_kept_to_resume(tmp_path):
    start_output(str(tmp_path), "model", run_id="s", overwrite=False)
    (tmp_path / "deep" / "down").mkdir(parents=True)
    for name in ("half", "half.tmp.gz", "file.0a1b2c3d.tmp", "deep/file.0a1b2c3d.tmp"):
        (tmp_path / name).write_bytes(b"")
    resume_output(str(tmp_path), run_id="s")
    assert names(tmp_path) == [".unfinished", "half", "half.tmp.gz"]
    start_output(str(tmp_path), "model", run_id="s", overwrite=False)
    assert list(tmp_path.iterdir()) == [tmp_path / ".unfinished"]
    finish_output(str(tmp_path), Manifest(stage="model", run_id="s"))
    with pytest.raises(StageError, match="is finished already; --overwrite makes it again"):
        resume_output(str(tmp_path), run_id="s")
    assert names(tmp_path) == ["manifest.json"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("found", [["thesis.tex"], [".unfinished.0a1b2c3d.tmp", "thesis.tex"]])
def test_files_that_no_run_left_are_never_touched(tmp_path, found, overwrite):
    for name in found:
        (tmp_path / name).write_bytes(b"years of work")
    with pytest.raises(StageError, match="holds files that no run of this command left; give another --output"):
        start_output(str(tmp_path), "dataset", run_id="s", overwrite=overwrite)
    assert names(tmp_path) == found


def test_a_file_where_the_output_is_to_be_is_refused_and_left(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    for place in ("file", "file/", "file/a/b"):
        with pytest.raises(UsageError, match=f"^{tmp_path}/file: expected a directory, found a file; give another one"):
            start_output(str(tmp_path / place), "dataset", run_id="s", overwrite=False)
    assert (tmp_path / "file").read_bytes() == b"x"
