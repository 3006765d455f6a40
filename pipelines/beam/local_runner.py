"""Running the job: in this process by default, else on the runner that Beam's flags name."""

import re
from collections.abc import Callable

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from stage.errors import StageError


def run_pipeline(build: Callable[[beam.Pipeline], None], options: PipelineOptions, *, local: bool) -> None:
    """Builds the graph and runs it to its end.

    Args:
        build: Adds the steps.
        options: Beam's.
        local: Run in this process; DirectRunner would first try to download another runner.
    """
    pipeline = beam.Pipeline(runner=FnApiRunner() if local else None, options=options)
    build(pipeline)
    pipeline.run().wait_until_finish()


def describe_failure(error: BaseException) -> str:
    """What failed, in one line, without Beam's wrapping.

    A step's own StageError says it best; the runner hands it on with its step's name behind it, or inside another
    error.
    """
    text = str(error)
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, StageError):
            text = str(chain)
            break
        chain = chain.__cause__ or chain.__context__
    else:
        found = re.findall(r"(?:StageError|UsageError): (.*)", text)
        lines = [line for line in text.splitlines() if line.strip()]
        text = found[-1] if found else f"the job failed: {lines[-1] if lines else type(error).__name__}"
    return re.sub(r" \[while running '.*", "", text).strip()
