"""A build as a job on Dataflow, which waits where its name is taken."""

import json
import time
from typing import Any

from airflow.providers.google.cloud.operators.dataflow import DataflowStartFlexTemplateOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException
from googleapiclient.errors import HttpError

_WAIT = 60
"""Seconds between two tries to launch."""
_TRIES = 24 * 60
"""A job that lives longer than so many waits hangs, or is no build of this DAG's."""


class FlexTemplateBuild(DataflowStartFlexTemplateOperator):
    """Launches the template once no job of its name lives any more.

    One lives where an Airflow worker was lost, and the task is tried again while its job goes on. That job's dataset
    can't be told from one of other settings, so it is made again.

    The body's parameters are JSON in a text: a template that is rendered to a Python object would make a number of the
    environment's text "1" too.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Launches, and waits for the job.

        Raises:
            HttpError: If Dataflow refuses the job for another reason.
            AirflowFailException: If the other job doesn't end; no try after this one would fare better.
        """
        launched = self.body["launchParameter"]
        launched["parameters"] = json.loads(launched["parameters"])
        for _ in range(_TRIES):
            try:
                job: dict[str, Any] = super().execute(context)
                return job
            except HttpError as error:
                if error.resp.status != 409:
                    raise
                self.log.info("a job of this name lives, of a try before; launching again in %d s (%s)", _WAIT, error)
                time.sleep(_WAIT)
        raise AirflowFailException(
            f"expected the job of this name, of a try before, to end within {_TRIES * _WAIT // 3600} hours, but it "
            "lives; see in Dataflow whether it hangs, cancel it, and clear this task"
        )
