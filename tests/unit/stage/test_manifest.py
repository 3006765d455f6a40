"""The manifest: how a reader knows that an output is whole."""

import json
import os
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from stage import storage
from stage.errors import StageError, StorageError
from stage.manifest import File, MadeFrom, Manifest, begun_at, describe_files, digest, new_run_id
from stage.output import start_output
from stage.published import Published, Record


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
    turned = found.model_copy(update={"files": found.files[::-1]})
    assert turned.names("train", ".gz") == ["train/a.gz", "train/b.gz"]
    assert found.names("trai", ".gz") == found.names("train", ".txt") == []
    assert found.versions["pyarrow"]
    assert Manifest.find(str(output)) == found


def test_the_bytes_of_a_manifest_are_sorted_json_that_comes_back(output):
    content = (output / "manifest.json").read_bytes()
    tree = json.loads(content)
    assert list(tree) == sorted(tree)
    assert content.endswith(b"\n}\n")
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
    for content in (b"b", b"bbb"):
        (output / "train" / "b.gz").write_bytes(content)
        assert read(output) == f"OUT/train/b.gz: expected 2 bytes, found {len(content)}; make it again"
    (output / "train" / "a.gz").unlink()
    assert read(output) == "OUT/train/a.gz: named by the manifest but missing; make the dataset again"
    (output / "manifest.json").unlink()
    (output / ".unfinished").touch()
    assert read(output) == "OUT: expected a finished dataset, but the directory has no manifest.json; make it again"


def test_of_a_directory_that_is_none_of_ours_the_one_below_it_that_may_be_meant_is_told(output):
    above, without = output.parent, "OUT: expected a finished dataset, but the directory has no manifest.json; "
    assert read(above) == f"{without}did you mean OUT/out?"
    Manifest(stage="model", run_id="m").write(str(above / "model"))
    (above / "damaged").mkdir()
    (above / "damaged" / "manifest.json").touch()
    (above / "file").touch()
    os.mkdir(os.fsencode(above) + b"/\xe9")
    assert read(above) == f"{without}did you mean OUT/out?"
    for name in "abz":
        Manifest(stage="dataset", run_id=name).write(str(above / name))
    assert read(above) == f"{without}did you mean OUT/a or OUT/b or OUT/out?"
    assert read(output / "train") == f"{without}give the one that build-dataset left"
    assert read(above / "file") == "OUT: expected a finished dataset, but it is a file"


def test_on_a_bucket_the_one_that_is_called_as_its_stage_is_told(bucket):
    for name in ("dataset", "other"):
        Manifest(stage="dataset", run_id="r").write(f"{bucket}/run/{name}")
    said = "OUT: expected a finished dataset, but the directory has no manifest.json; did you mean OUT/dataset?"
    assert read(f"{bucket}/run") == said


def test_an_output_is_done_if_it_is_whole_and_the_same_would_make_it_again(output):
    edit(output, inputs={"raw": "r", "pseudonyms": "p"})
    found = Manifest.read(str(output), "dataset")
    same = {"spec_digest": found.spec_digest, "inputs": found.inputs, "job_options": found.job_options}

    def find_done(stage="dataset", **changed):
        return Manifest.find_done(str(output), stage, made_from=MadeFrom(**same | changed, spec_differs=str))

    assert find_done() == found
    assert find_done("model") is None
    for changed in (
        {"spec_digest": "x"},
        {"inputs": {"raw": "x", "pseudonyms": "p"}},
        {"inputs": {"raw": "r"}},
        {"job_options": {"data_end": "x"}},
    ):
        assert find_done(**changed) is None
    (output / "train" / "a.gz").unlink()
    assert find_done() is None


def test_what_cannot_be_listed_is_not_taken_for_damaged(output, monkeypatch):
    def sizes(directory):
        raise StorageError(f"{directory}: cannot be listed: timeout")

    monkeypatch.setattr(storage, "sizes", sizes)
    found = Manifest.find(str(output))
    made_from = MadeFrom(found.spec_digest, found.inputs, job_options=found.job_options, spec_differs=str)
    with pytest.raises(StorageError, match=r"cannot be listed: timeout$"):
        Manifest.find_done(str(output), "dataset", made_from=made_from)
    with pytest.raises(StorageError, match=r"cannot be listed: timeout$"):
        Published(str(output), Record(number=7, run_id="r"), found).is_whole()


def test_an_output_is_done_however_the_same_times_are_written(output):
    edit(output, job_options={"data_start": "2026-03-28", "data_end": None})

    def is_done(**options):
        made_from = MadeFrom("", {}, job_options=options, spec_differs=str)
        return Manifest.find_done(str(output), "dataset", made_from=made_from) is not None

    assert is_done(data_start="2026-03-28T00:00:00Z", data_end=None)
    assert not is_done(data_start="2026-03-28T00:00:01Z", data_end=None)
    assert not is_done(data_start="2026-03-28T00:00:00Z", data_end="2026-03-29")


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
    assert one.content_digest == "9afeb0f2b203f254312ec8ded441d0318b7c34c57f8695ede42d2215a30c0960"
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


def test_a_run_id_says_when_its_run_began():
    assert begun_at("20260201T090807-0a1b2c") == datetime(2026, 2, 1, 9, 8, 7, tzinfo=UTC)
    assert begun_at("mine") is None
