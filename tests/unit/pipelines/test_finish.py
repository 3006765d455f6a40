"""The last step of a build, which may be tried again, or come after another run has taken the output over."""

from pathlib import Path

import pytest

from pipelines.beam.finish import write_manifest
from stage.errors import StageError
from stage.manifest import Manifest
from stage.output import start_output


def test_a_step_that_is_tried_again_writes_once_and_one_that_was_overtaken_never(tmp_path: Path) -> None:
    output = str(tmp_path / "dataset")
    first, second = (Manifest(stage="dataset", run_id=name) for name in ("first", "second"))
    start_output(output, "dataset", run_id="first", overwrite=False)
    start_output(output, "dataset", run_id="second", overwrite=False)
    with pytest.raises(StageError, match="another run was started into it meanwhile"):
        write_manifest(first, output)
    write_manifest(second, output)
    written = (tmp_path / "dataset" / "manifest.json").stat().st_mtime_ns
    write_manifest(second, output)
    assert (tmp_path / "dataset" / "manifest.json").stat().st_mtime_ns == written
    with pytest.raises(StageError, match="another run was started into it meanwhile"):
        write_manifest(first, output)
    assert Manifest.read(output, "dataset").run_id == "second"
    assert [path.name for path in (tmp_path / "dataset").iterdir()] == ["manifest.json"]
