"""Stages as tasks: commands on the worker or in pods, or a job on Dataflow, rendered from the run's context."""

import json
import shlex
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException
from jinja2 import pass_context
from jinja2.runtime import Context

from retraining.commands import STAGES, judged, template_parameters
from retraining.deployment import Dataflow, Deployment
from retraining.night import Night
from retraining.worker_command import WorkerCommand


@pass_context
def shell(context: Context, stage: str, *, more: Sequence[str] = ()) -> str:
    """In a template: a stage's arguments and more, for a shell."""
    night = _night_of(context)
    told = []
    if stage in ("export", "publish"):
        told = judged(stage, night, verdict=context["ti"].xcom_pull(task_ids="gate"))
    return shlex.join([*STAGES[stage](night), *told, *more])


@pass_context
def parameters(context: Context) -> str:
    """In a template: a build's parameters on Dataflow, as `FlexTemplateBuild` takes them."""
    return json.dumps(template_parameters(_night_of(context)))


@pass_context
def job_name(context: Context) -> str:
    """In a template: the build's name on Dataflow, which runs no second job of a name while the first lives."""
    return f"ssl-two-tower-build-{_night_of(context).name}"


def _night_of(context: Context) -> Night:
    """The run whose task is being rendered.

    Raises:
        AirflowFailException: If its settings are wrong; no further try would fare better.
    """
    found = context.get_all()
    try:
        settings = found["deployment"].settings_of(found["params"])
    except ValueError as error:
        raise AirflowFailException(str(error)) from None
    return Night.of(found, settings=settings)


def macros(deployment: Deployment) -> dict[str, Any]:
    """What the tasks' templates call, and what that reads."""
    return {"shell": shell, "parameters": parameters, "job_name": job_name, "deployment": deployment}


def command(stage: str, deployment: Deployment, *, task_id: str | None = None, **options: Any) -> BaseOperator:
    """A stage as a command.

    Args:
        stage: A key of STAGES.
        deployment: Says where it runs.
        task_id: By default the stage's name.
        options: As every operator takes them.
    """
    options["task_id"] = task_id or stage
    more = deployment.spark.flags if stage == "aggregate" and deployment.spark is not None else []
    if (kubernetes := deployment.kubernetes) is not None:
        from retraining.pod_operator import pod_operator  # noqa: PLC0415  (takes seconds)

        gpus = kubernetes.gpus if stage == "train" else 0
        more = [*more, *(["--gpus", str(gpus)] if gpus else [])]
        return pod_operator(kubernetes, stage=stage, arguments=_arguments(stage, more), gpus=gpus, options=options)
    if stage == "gate":
        options |= {"do_xcom_push": True, "output_processor": json.loads}  # of the last line, its verdict
    return WorkerCommand(
        # exec: the command itself gets the signal that stops a task, saves, and goes on at the next try. PYTHONPATH
        # would be Airflow's.
        bash_command=f"exec env -u PYTHONPATH {shlex.quote(deployment.command)} {_arguments(stage, more)}",
        cwd=deployment.directory,
        **{"do_xcom_push": False, **options},
    )


def _arguments(stage: str, more: Sequence[str]) -> str:
    """A template of a stage's arguments and more."""
    return f"{{{{ shell('{stage}', more={list(more)}) }}}}"


def waits(deployment: Deployment) -> list[BaseOperator]:
    """The task that waits until the log is whole, if one is to; it keeps no worker meanwhile."""
    if not deployment.delay_seconds:
        return []
    delay = timedelta(seconds=deployment.delay_seconds)
    return [TimeDeltaSensor(task_id="wait", delta=delay, mode="reschedule", timeout=delay + timedelta(days=1))]


def builds(deployment: Deployment) -> list[BaseOperator]:
    """The tasks that make the dataset, in order."""
    if deployment.dataflow is not None:
        return [_on_dataflow(deployment.dataflow, deployment.settings.output)]
    if deployment.spark is not None:
        return [command("aggregate", deployment), command("build_aggregated", deployment, task_id="build")]
    return [command("build", deployment)]


def _on_dataflow(dataflow: Dataflow, output: str) -> BaseOperator:
    from retraining.flex_template import FlexTemplateBuild  # noqa: PLC0415  (takes seconds)

    # By default a bucket of the project's, into which an account for one bucket isn't let.
    places = {"stagingLocation": f"{output}/staging", "tempLocation": f"{output}/temp"}
    launched = {
        "jobName": "{{ job_name() }}",
        "containerSpecGcsPath": dataflow.template,
        "parameters": "{{ parameters() }}",
        "environment": {"sdkContainerImage": dataflow.image, **places, **dataflow.environment},
    }
    return FlexTemplateBuild(
        task_id="build",
        project_id=dataflow.project,
        location=dataflow.region,
        body={"launchParameter": launched},
        append_job_name=False,
        wait_until_finished=True,
        deferrable=False,
    )
