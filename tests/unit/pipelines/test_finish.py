"""The last steps of a build, which may come after another run has taken the output over."""

from pathlib import Path

import pytest
from small_jobs import small_job

from features.spec.file import load_spec
from pipelines.aggregation.output import Target, Written, write_content
from pipelines.beam.finish import _counts, _reconcile, finish_dataset
from pipelines.beam.transform import TransformOutput, copy_transform
from stage.errors import Interrupted, StageError
from stage.manifest import File, Manifest
from stage.output import start_output


def test_what_bears_no_runs_name_is_not_written_into_another_runs_output(tmp_path: Path) -> None:
    output, made = tmp_path / "dataset", tmp_path / "tft"
    made.mkdir()
    (made / "saved_model.pb").write_bytes(b"of the first")
    for run_id in ("first", "second"):
        start_output(str(output), "dataset", run_id=run_id, overwrite=False)
    target = Target(str(output), "first", 1)
    with pytest.raises(StageError, match="another run was started into it meanwhile"):
        copy_transform(None, load_spec("debian"), folder=str(made), target=target, constants=None, after=None)
    with pytest.raises(StageError, match="another run was started into it meanwhile"):
        write_content(b"of the first", "statistics/schema.pbtxt", content="", target=target)
    assert [path.name for path in output.iterdir()] == [".unfinished"]


COUNTS = {"lines/read": 9, "lines/kept": 5, "filtered/duplicate": 1, "rejected/not_json": 3, "rejected/items/bad_id": 7}
COUNTS |= {"pairs/train": 3, "pairs/test": 1}
RECORDS = {"train": 3, "test": 1, "items": 2, "entities/items": 2}


@pytest.mark.parametrize(
    ("counts", "records", "lost"),
    [
        ({"lines/read": 10}, {}, "lines: read 10, accounted for 9"),
        ({"lines/read": 8}, {}, "lines: read 8, accounted for 9"),
        ({}, {"train": 2}, "train examples: expected 3, wrote 2"),
        ({}, {"validation": 1}, "validation examples: expected 0, wrote 1"),
        ({}, {"items": 1}, "items: expected 2, encoded 1"),
    ],
)
def test_what_does_not_add_up_is_refused(counts: dict[str, int], records: dict[str, int], lost: str) -> None:
    _reconcile(_counts(COUNTS, RECORDS), COUNTS)
    with pytest.raises(StageError, match=f"^the job lost {lost}; please report this$"):
        _reconcile(_counts(COUNTS | counts, RECORDS | records), COUNTS | counts)


def test_a_build_that_was_told_to_stop_writes_no_manifest_and_a_file_told_of_twice_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = str(tmp_path / "dataset")
    start_output(output, "dataset", run_id="r", overwrite=False)
    job = small_job(load_spec("debian"), output)
    temporary = str(tmp_path / "tft")
    written = [Written("train", File(name="train/a", size=9, sha256="sha", records=2), digest=5)] * 2
    counts = {"lines/read": 2, "lines/kept": 2, "pairs/train": 2}
    transform = TransformOutput([], {}, {}, "")
    monkeypatch.setattr("pipelines.beam.finish.was_interrupted", lambda: True)
    with pytest.raises(Interrupted):
        finish_dataset(True, job, written=written, counts=counts, transform=transform, temporary=temporary)
    assert Manifest.find(output) is None
    monkeypatch.setattr("pipelines.beam.finish.was_interrupted", lambda: False)
    finish_dataset(True, job, written=written, counts=counts, transform=transform, temporary=temporary)
    found = Manifest.find(output)
    assert found is not None
    assert (found.counts["examples/train"], [file.name for file in found.files]) == (2, ["train/a"])
    assert found.content["train"] == f"{5:064x}"
