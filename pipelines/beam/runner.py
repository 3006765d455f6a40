"""Running the job: in this process by default, else on the runner that Beam's flags name."""

import errno
import gc
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipelines.aggregation.held_tables import holding_tables
from pipelines.beam.remembered import remember_answers
from pipelines.beam.stage_clock import ended_with_the_job, wake_often
from pipelines.beam.table_coder import measure_tables
from pipelines.beam.workers_here import end_without_workers, silence_workers
from pipelines.step_errors import step_error
from stage.errors import StageError
from stage.interrupts import check_interrupted
from stage.tensorflow_message import reason_in

HELD_BYTES = 512 << 20
"""Of tables that a local job holds instead of packing them (`held_tables`); a build of 2 M lines holds 509 MiB. Where
Beam's flags put its workers into other processes, none is held there."""


def run_pipeline(build: Callable[[beam.Pipeline], None], options: PipelineOptions, *, local: bool) -> None:
    """Builds the graph and runs it to its end.

    Args:
        build: Adds the steps.
        options: Beam's.
        local: Run in this process; DirectRunner would first try to download another runner.
    """
    remember_answers()
    wake_often()
    measure_tables()
    pipeline = beam.Pipeline(runner=FnApiRunner() if local else None, options=options)
    try:
        build(pipeline)
        check_interrupted()
        silence_workers()
        with _locally() if local else end_without_workers():
            pipeline.run().wait_until_finish()
    finally:
        # Beam leaves it where this doesn't end well.
        shutil.rmtree(pipeline.local_tempdir, ignore_errors=True)


@contextmanager
def _locally() -> Iterator[None]:
    with holding_tables(HELD_BYTES), ended_with_the_job():
        # What is there so far, some hundred thousand objects of Beam and TensorFlow, isn't looked through for garbage
        # again and again: 1.50 s of processor time from 1 M JSON lines to pairs instead of 1.58 (medians of 12).
        gc.freeze()
        try:
            yield
        finally:
            gc.unfreeze()


def describe_failure(error: BaseException) -> str:
    """What failed, in one line, without Beam's wrapping.

    A step's own StageError says it best; the runner hands it on with its step's name behind it, or inside another
    error. Of other errors, Python's traceback says what happened at its end, Java's at its start, and a graph of
    TensorFlow's behind a traceback of its own.
    """
    text = str(error)
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, StageError):
            text = str(chain)
            break
        chain = chain.__cause__ or chain.__context__
    else:
        line = _main_line(text)
        text = step_error(text) or _of_full_disk(line) or f"the job failed: {line or type(error).__name__}"
    return re.sub(r" \[while running '.*", "", text).strip()


def _of_full_disk(line: str) -> str | None:
    """What TensorFlow says of a file for which there is no room, as we say it; None: of anything else."""
    reasons = "|".join(map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)))
    found = re.match(rf"(?:[\w.]+Error: )?(.+); ({reasons})\b", line)
    return f"{found[1]}: cannot be written: {found[2]}" if found else None


def _main_line(text: str) -> str:
    _, in_graph, said = text.rpartition("Graph execution error:")
    if in_graph:
        return reason_in(said)
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or any(line.startswith("Traceback") or ": Traceback" in line for line in lines):
        return lines[-1] if lines else ""
    return re.sub(r"^Pipeline \S+ failed in state \w+: ", "", lines[0])
