"""The manifest: how a reader knows that an output is whole, and what a writer refuses."""

import json
from datetime import datetime
from types import SimpleNamespace

import pytest

from stage import manifest
from stage.errors import StageError
from stage.manifest import File, Manifest, describe_files, digest, finish_output, new_run_id, start_output


@pytest.fixture
def output(tmp_path):
    """A finished dataset of two files."""
    directory = tmp_path / "out"
    start_output(str(directory), "dataset", run_id="r", overwrite=False)
    (directory / "train").mkdir()
    (directory / "train" / "b.gz").write_bytes(b"bb")
    (directory / "train" / "a.gz").write_bytes(b"a")
    made = Manifest(stage="dataset", run_id="r", content={"x": "1"}, files=describe_files(str(directory)))
    finish_output(str(directory), made)
    return directory


def names(directory):
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file())


def read(directory, **keys):
    with pytest.raises(StageError) as caught:
        Manifest.read(str(directory), "dataset", **keys)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(directory), "OUT")


def edit(directory, **keys):
    path = directory / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def test_a_finished_output_is_read_and_names_its_files_in_order(output):
    found = Manifest.read(str(output), "dataset", verify=True)
    assert [(f.name, f.size) for f in found.files] == [("train/a.gz", 1), ("train/b.gz", 2)]
    assert found.names("train", ".gz") == ["train/a.gz", "train/b.gz"]
    assert found.names("trai", ".gz") == found.names("train", ".txt") == []
    assert names(output) == ["manifest.json", "train/a.gz", "train/b.gz"]
    assert found.versions["pyarrow"]
    assert Manifest.find(str(output)) == found


def test_the_bytes_of_a_manifest_are_sorted_json_that_comes_back(output):
    content = (output / "manifest.json").read_bytes()
    tree = json.loads(content)
    assert list(tree) == sorted(tree)
    assert Manifest.model_validate(tree).to_json() == content


def test_files_that_the_manifest_does_not_name_are_no_concern_of_a_reader(output):
    (output / "train" / "of-another-run.gz").write_bytes(b"")
    assert Manifest.read(str(output), "dataset").names("train", ".gz") == ["train/a.gz", "train/b.gz"]


def test_what_is_not_whole_is_refused(output, tmp_path):
    assert read(tmp_path / "none") == "OUT: expected a finished dataset, but the directory is not there"
    (output / "train" / "a.gz").write_bytes(b"c")
    assert Manifest.read(str(output), "dataset")
    assert (
        read(output, verify=True) == "OUT/train/a.gz: its SHA-256 differs from the manifest's; make the dataset again"
    )
    (output / "train" / "b.gz").write_bytes(b"b")
    assert read(output) == "OUT/train/b.gz: expected 2 bytes, found 1; make it again"
    (output / "train" / "a.gz").unlink()
    assert read(output) == "OUT/train/a.gz: named by the manifest but missing; make the dataset again"
    (output / "manifest.json").unlink()
    assert read(output) == "OUT: expected a finished dataset, but the directory has no manifest.json: it isn't whole"


def test_another_stages_output_and_another_version_are_refused(output):
    edit(output, stage="model")
    assert read(output) == "OUT: expected a dataset, found a model"
    edit(output, format_version=2)
    assert read(output) == "OUT/manifest.json: expected format_version 1, found 2"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"null", b'{"format_version": 1}'])
def test_what_is_no_manifest_is_refused_by_name(output, content):
    (output / "manifest.json").write_bytes(content)
    assert read(output).startswith("OUT/manifest.json: ")


def test_a_manifest_with_a_wrong_key_says_which(output):
    edit(output, filez=[])
    assert read(output) == "OUT/manifest.json: not a manifest: filez: Extra inputs are not permitted"
    edit(output, filez=None, counts={"lines": "many"})
    assert "counts.lines: Input should be a valid integer" in read(output)


def test_a_finished_output_is_refused_without_overwrite(output):
    before = names(output)
    with pytest.raises(StageError, match="out: is finished already; --overwrite makes it again"):
        start_output(str(output), "dataset", run_id="s", overwrite=False)
    assert names(output) == before


def test_with_overwrite_a_finished_output_is_cleared_and_counts_as_unfinished(output):
    start_output(str(output), "dataset", run_id="s", overwrite=True)
    assert names(output) == [".unfinished"]
    assert read(output) == "OUT: expected a finished dataset, but the directory has no manifest.json: it isn't whole"


@pytest.mark.parametrize("overwrite", [False, True])
def test_another_stages_output_is_never_touched(output, overwrite):
    before = names(output)
    expected = (
        "out: expected to find nothing, or a model to make again, found a finished dataset; give another --output"
    )
    with pytest.raises(StageError, match=expected):
        start_output(str(output), "model", run_id="s", overwrite=overwrite)
    edit(output, stage="aggregate")
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
        *((old, "an unfinished output of another version") for old in (b"", b"20240101T000000-0a1b2c", b"7", b"\xff")),
    ],
)
def test_what_another_stage_has_begun_is_never_touched(tmp_path, mark, found, overwrite):
    (tmp_path / ".unfinished").write_bytes(mark)
    (tmp_path / "half").write_bytes(b"")
    with pytest.raises(StageError, match=f"or an export to make again, found {found}; give another --output"):
        start_output(str(tmp_path), "export", run_id="s", overwrite=overwrite)
    assert names(tmp_path) == [".unfinished", "half"]
    # Who has made sure that it is its own, as train has by its checkpoints, may go on with an older version's too.
    start_output(str(tmp_path), "model", run_id="s", overwrite=False, keep_unfinished=True)
    assert json.loads((tmp_path / ".unfinished").read_bytes()) == {"stage": "model", "run_id": "s"}
    assert names(tmp_path) == [".unfinished", "half"]


def test_a_run_that_another_one_has_followed_writes_no_manifest(tmp_path):
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
    finish_output(str(tmp_path), made.model_copy(update={"run_id": "second"}))
    with pytest.raises(StageError, match=expected):
        finish_output(str(tmp_path), made)
    assert names(tmp_path) == ["manifest.json"]
    assert Manifest.read(str(tmp_path), "dataset").run_id == "second"


def test_the_manifest_goes_before_anything_else_is_deleted(output, monkeypatch):
    deleted = []
    monkeypatch.setattr(manifest.storage, "delete", deleted.append)
    start_output(str(output), "dataset", run_id="s", overwrite=True)
    assert deleted[0] == f"{output}/manifest.json"


def test_killed_before_the_manifest_is_gone_a_run_has_left_its_mark(output, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(path):
        raise Killed

    monkeypatch.setattr(manifest.storage, "delete", kill)
    with pytest.raises(Killed):
        start_output(str(output), "dataset", run_id="s", overwrite=True)
    assert names(output) == [".unfinished", "manifest.json", "train/a.gz", "train/b.gz"]
    assert Manifest.read(str(output), "dataset").content == {"x": "1"}


def test_a_run_killed_before_its_mark_is_whole_is_replaced(tmp_path):
    (tmp_path / ".unfinished.0a1b2c3d.tmp").write_bytes(b"")
    start_output(str(tmp_path), "dataset", run_id="s", overwrite=False)
    assert names(tmp_path) == [".unfinished"]


def test_what_an_unfinished_run_left_is_cleared_or_kept_to_resume(tmp_path):
    start_output(str(tmp_path), "dataset", run_id="s", overwrite=False)
    (tmp_path / "deep" / "down").mkdir(parents=True)
    (tmp_path / "half").write_bytes(b"")
    start_output(str(tmp_path), "dataset", run_id="s", overwrite=False, keep_unfinished=True)
    assert names(tmp_path) == [".unfinished", "half"]
    start_output(str(tmp_path), "dataset", run_id="s", overwrite=False)
    assert list(tmp_path.iterdir()) == [tmp_path / ".unfinished"]
    (tmp_path / "half").write_bytes(b"")
    start_output(str(tmp_path), "dataset", run_id="s", overwrite=True, keep_unfinished=True)
    assert names(tmp_path) == [".unfinished"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_that_no_run_left_are_never_touched(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_bytes(b"years of work")
    with pytest.raises(StageError, match="holds files that no run of this command left; give another --output"):
        start_output(str(tmp_path), "dataset", run_id="s", overwrite=overwrite)
    assert names(tmp_path) == ["thesis.tex"]


def test_an_output_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    for place in ("file", "file/below"):
        with pytest.raises(StageError, match="Not a directory"):
            start_output(str(tmp_path / place), "dataset", run_id="s", overwrite=False)
    assert (tmp_path / "file").read_bytes() == b"x"


def test_describing_leaves_out_the_manifest_and_the_mark(tmp_path):
    start_output(str(tmp_path), "dataset", run_id="s", overwrite=False)
    (tmp_path / "manifest.json").write_bytes(b"{}")
    (tmp_path / "a").write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert describe_files(str(tmp_path)) == [File(name="a", size=0, sha256=empty)]


def test_a_digest_is_of_the_value_whatever_the_order_of_its_keys():
    assert digest({"b": [1], "a": "é"}) == digest({"a": "é", "b": [1]})
    assert digest({"a": 1}) != digest({"a": 1.0})
    assert digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    one = Manifest(stage="raw", run_id="r", content={"a": "1"})
    assert (
        one.content_digest == Manifest(stage="raw", run_id="other", content={"a": "1"}, counts={"n": 1}).content_digest
    )


def test_run_ids_differ_and_sort_by_time(monkeypatch):
    one, other = new_run_id(), new_run_id()
    assert one != other
    assert len(one) == 22
    found = []
    for instant in ("2026-01-31T23:59:59+00:00", "2026-02-01T00:00:00+00:00", "2026-02-01T09:08:07+00:00"):
        clock = SimpleNamespace(now=lambda zone, instant=instant: datetime.fromisoformat(instant).astimezone(zone))
        monkeypatch.setattr("stage.manifest.datetime", clock)
        found.append(new_run_id()[:15])
    assert found == sorted(found) == ["20260131T235959", "20260201T000000", "20260201T090807"]
