"""Beam as baselines should meet it: `run_pipeline` changes its clock for the whole process (`stage_clock`).

And has it remember answers, which stays: of a baseline's few steps that's little, and to its advantage.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from apache_beam.runners.worker.statesampler import DEFAULT_SAMPLING_PERIOD_MS, StateSampler


@contextmanager
def beams_own_clock() -> Iterator[None]:
    """The clock that ends stages wakes as seldom as Beam's does, whatever ran before; afterwards as before."""
    before = StateSampler.__init__.__defaults__
    StateSampler.__init__.__defaults__ = (DEFAULT_SAMPLING_PERIOD_MS,)
    try:
        yield
    finally:
        StateSampler.__init__.__defaults__ = before
