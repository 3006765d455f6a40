"""Beam's clock of stages, in stages that the local runner runs."""

import threading
from collections.abc import Iterable

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.worker.statesampler import StateSampler, get_current_tracker

from pipelines.beam.runner import run_pipeline

PERIODS: list[int] = []
"""What the steps found; they run in this process."""


class Look(beam.DoFn):
    def process(self, element: int) -> Iterable[int]:
        PERIODS.append(get_current_tracker().sampling_period_ms)
        yield element


def test_no_stage_of_a_local_build_ends_with_a_wait_for_a_clock_of_200_ms() -> None:
    PERIODS.clear()

    run_pipeline(lambda pipeline: pipeline | beam.Create([1]) | beam.ParDo(Look()), PipelineOptions([]), local=True)

    assert PERIODS == [2]


@pytest.mark.parametrize("place", ["as it starts", "before it begins"])
def test_an_interrupt_leaves_no_clock_behind_that_python_would_wait_for(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if not isinstance(getattr(thread._target, "__self__", None), StateSampler):  # type: ignore[attr-defined]
            begin(thread)
            return
        if place == "as it starts":
            begin(thread)
        else:
            monkeypatch.setitem(threading._limbo, thread, thread)  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    before = set(threading.enumerate())

    with pytest.raises(KeyboardInterrupt):
        run_pipeline(lambda pipeline: pipeline | beam.Create([1]) | beam.ParDo(Look()), PipelineOptions([]), local=True)

    left = [thread for thread in set(threading.enumerate()) - before if thread.is_alive() and not thread.daemon]
    assert left == []
