"""How training files, by their numbers of examples, form streams."""

from dataclasses import replace
from pathlib import Path

import pytest

from model.training.stream_files import stream_files
from stage.errors import StageError, UsageError
from stage.manifest import File


@pytest.fixture
def streams(tiny_dataset):
    """`streams(examples of each file, input_streams, **options)`: the numbers of each stream's files."""

    def form(records, wanted, **options):
        files = [
            File(name=f"train/{number}.tfrecord.gz", size=1, sha256="", records=n) for number, n in enumerate(records)
        ]
        dataset = replace(tiny_dataset, manifest=tiny_dataset.manifest.model_copy(update={"files": files}))
        found = stream_files(dataset, dataset.spec.train.model_copy(update={"input_streams": wanted}), **options)
        return [[int(Path(path).name[0]) for path in stream] for stream in found.tolist()]

    return form


@pytest.mark.parametrize(
    ("records", "wanted", "expected"),
    [
        ([5, 5, 5, 5], 2, [[0, 2], [1, 3]]),
        ([5, 0, 5, 5], 2, [[0, 2], [1, 3]]),  # a stream may have a file without an example
        ([5, 0, 5, 0], 2, [[0], [2]]),
        ([5, 0, 5, 0], 1, [[0, 1, 2, 3]]),
        ([5, 5, 0], 2, [[0], [1]]),
        ([5, 5, 5], 2, [[0, 1, 2]]),
        ([5, 0, 5, 0, 5, 0], 2, [[0, 2, 4]]),
        ([5, 0, 5], 8, [[0, 2]]),
    ],
)
def test_they_form_streams_of_equal_numbers_of_files_or_one(streams, records, wanted, expected):
    assert streams(records, wanted) == expected


def test_replicas_share_streams_out_or_are_refused(streams):
    assert streams([5] * 8, 4, replicas=2) == [[0, 4], [1, 5], [2, 6], [3, 7]]  # all are named, whoever reads them
    for records, wanted, replicas, told in (
        ([5] * 8, 4, 3, r"3 replicas .* the 8 files .* as 4 streams; train in one process"),
        ([5, 0, 5], 4, 2, r"2 replicas .* the 2 files .* as 4 streams; set it to 2, or train in one process"),
        ([5] * 12, 8, 2, r"the 12 files .* as 8 streams; set it to 2 or 4, or train"),  # 64 rows a batch are no 6 times
    ):
        with pytest.raises(UsageError, match=told):
            streams(records, wanted, replicas=replicas)


def test_what_files_hold_is_looked_up_once(streams, monkeypatch):
    """For each of thousands of files it would take minutes."""
    joined = []
    monkeypatch.setattr("features.dataset.storage.join", lambda *parts: joined.append(parts) or "/".join(parts))
    streams([5] * 64, 8)
    assert len(joined) < 5 * 64


@pytest.mark.parametrize("records", [[], [0, 0]])
def test_no_example_is_refused(streams, records):
    with pytest.raises(StageError, match="/train: expected training examples, found none; build the dataset again"):
        streams(records, 2)
