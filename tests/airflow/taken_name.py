"""Started by Airflow's own interpreter: builds on Dataflow whose launches are answered with HTTP statuses.

stdin: a list of lists of them. Last line of stdout: for each how often it was launched, and the job or the last status.
"""

import json
import os
import sys
from typing import Any

import httplib2
from airflow.sdk.exceptions import AirflowFailException
from googleapiclient.errors import HttpError

sys.path.insert(0, os.environ["AIRFLOW__CORE__DAGS_FOLDER"])

from retraining import flex_template


class Hook:
    """What the operator asks Dataflow with."""

    def __init__(self, statuses: list[int]) -> None:
        self.statuses = statuses
        self.launched = 0

    def start_flex_template(self, *, body: dict[str, Any], **_: Any) -> dict[str, str]:
        """Launches a job, or is refused."""
        assert body == {"launchParameter": {"parameters": {"raw": "gs://BUCKET/raw"}}}
        self.launched += 1
        status = self.statuses.pop(0)
        if status != 200:
            raise HttpError(httplib2.Response({"status": status}), b'{"error": {"message": "already an active job"}}')
        return {"id": "the job"}

    def extract_job_id(self, job: dict[str, str]) -> str:
        """The job's id."""
        return job["id"]


class TaskInstance:
    """What the operator tells of the job."""

    def xcom_push(self, key: str, value: str) -> None:
        """Keeps it."""


def build(statuses: list[int]) -> list[Any]:
    """Runs the task."""
    hook = Hook(statuses)
    task = flex_template.FlexTemplateBuild(
        task_id="build",
        body={"launchParameter": {"parameters": '{"raw": "gs://BUCKET/raw"}'}},
        location="r",
        project_id="p",
        append_job_name=False,
    )
    task.__dict__["hook"] = hook
    try:
        ended: Any = task.execute({"task_instance": TaskInstance()})  # type: ignore[typeddict-item]
    except HttpError as error:
        ended = error.resp.status
    except AirflowFailException:
        ended = "failed for good"
    return [hook.launched, ended]


if __name__ == "__main__":
    flex_template._WAIT, flex_template._TRIES = 0, 4
    print(f"\n{json.dumps([build(statuses) for statuses in json.load(sys.stdin)])}")
