"""What a local job asks of this process, and gives back."""

import contextlib
import gc
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.beam.runner import run_pipeline
from stage.errors import StageError

FROZEN: list[int] = []
"""Objects that garbage isn't looked for in, as the steps found; they run in this process."""


def look(element: int) -> int:
    FROZEN.append(gc.get_freeze_count())
    if element < 0:
        raise StageError("expected no negative number")
    return element


@pytest.mark.parametrize("element", [1, -1])
def test_what_was_there_is_searched_for_garbage_again_once_a_job_has_ended_or_failed(element: int) -> None:
    FROZEN.clear()

    with contextlib.suppress(StageError):
        run_pipeline(lambda start: start | beam.Create([element]) | beam.Map(look), PipelineOptions([]), local=True)

    assert FROZEN[0] > 10_000
    assert gc.get_freeze_count() == 0


def test_an_interrupt_leaves_no_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def build(pipeline: beam.Pipeline) -> None:
        assert list(tmp_path.iterdir())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_pipeline(build, PipelineOptions([]), local=True)
    assert not list(tmp_path.iterdir())
