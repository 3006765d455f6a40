"""Beam's clock of stages, in stages that the local runner runs."""

from collections.abc import Iterable

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.worker.statesampler import get_current_tracker

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
