"""An output, for those who read or write it again; a bucket; signals as they were."""

import os
import signal
from pathlib import Path

import pytest
from pyarrow import fs

from stage import storage
from stage.manifest import Manifest, describe_files
from stage.output import finish_output, start_output


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


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """gs://bucket, which lies in the directory of that name."""

    def resolve(path: str) -> tuple[fs.FileSystem, str]:
        return fs.LocalFileSystem(), os.path.abspath(path.replace("gs://bucket", str(tmp_path / "bucket")))

    monkeypatch.setattr(storage, "resolve", resolve)
    return "gs://bucket"


@pytest.fixture(autouse=True)
def _handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
