"""Stages as tasks: commands on the worker or in pods, or a job on Dataflow, rendered from the run's context."""

import json
import shlex
from collections.abc import Sequence, Set
from datetime import timedelta
from typing import Any

from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException
from jinja2 import pass_context
from jinja2.runtime import Context

from retraining.commands import STAGES, judged, template_parameters
from retraining.deployment import Dataflow, Deployment, Kubernetes
from retraining.night import Night
from retraining.worker_command import WorkerCommand

_XCOM = "/airflow/xcom/return.json"
"""Where a pod leaves what Airflow reads."""


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
    flags = deployment.spark.flags if stage == "aggregate" and deployment.spark is not None else []
    if deployment.kubernetes is not None:
        return _in_pod(stage, deployment.kubernetes, flags=flags, options=options)
    if stage == "gate":
        options |= {"do_xcom_push": True, "output_processor": json.loads}  # of the last line, its verdict
    given = f"shell('{stage}', more={flags})"
    return WorkerCommand(
        # exec: the command itself gets the signal that stops a task, saves, and goes on at the next try. PYTHONPATH
        # would be Airflow's.
        bash_command=f"exec env -u PYTHONPATH {shlex.quote(deployment.command)} {{{{ {given} }}}}",
        cwd=deployment.directory,
        **{"do_xcom_push": False, **options},
    )


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


def _in_pod(stage: str, kubernetes: Kubernetes, *, flags: list[str], options: dict[str, Any]) -> BaseOperator:
    from kubernetes.client import (  # noqa: PLC0415  (takes seconds)
        V1EmptyDirVolumeSource,
        V1PodSecurityContext,
        V1ResourceRequirements,
        V1Volume,
        V1VolumeMount,
    )

    from retraining.pod import read_pod  # noqa: PLC0415
    from retraining.pod_command import PodCommand  # noqa: PLC0415

    gpus = kubernetes.gpus if stage == "train" else 0
    more = [*flags, *(["--gpus", str(gpus)] if gpus else [])]
    script = f"exec ssl-two-tower {{{{ shell('{stage}', more={more}) }}}}"
    if stage == "gate":
        options["do_xcom_push"] = True
        script += f" > {_XCOM}"
    # Not as a list that is rendered to a Python object: so would be all other fields, and a label "1" a number.
    options |= {"cmds": ["bash", "-c"], "arguments": [script]}
    template = kubernetes.pod.model_dump(by_alias=True, exclude_unset=True)
    pod = read_pod(template) if template else None
    requests = {name: value for name in ("cpu", "memory") if (value := getattr(kubernetes, name)) is not None}
    limits = {name: value for name, value in requests.items() if name == "memory"}
    if gpus:
        limits["nvidia.com/gpu"] = str(gpus)
        options["node_selector"] = {**kubernetes.pod.spec.node_selector, **kubernetes.gpu_node_selector}
    if requests or limits:  # of which Airflow keeps none of the template's beside them
        container = pod and next(iter(pod.spec.containers), None)
        resources = (container and container.resources) or V1ResourceRequirements()
        # One of a pair that the variable sets goes with what the template says of the other, which it may exceed.
        set_here = {*requests, *limits}
        resources.requests = {**_without(resources.requests, set_here), **requests} or None
        resources.limits = {**_without(resources.limits, set_here), **limits} or None
        options["container_resources"] = resources
    user = (pod and pod.spec.security_context) or V1PodSecurityContext()
    if user.run_as_user is None:  # the image names none, so it would be root
        user.run_as_user, user.run_as_group = 1000, user.run_as_group or 1000
    options["security_context"] = user
    shm = V1VolumeMount(name="nccl-shm", mount_path="/dev/shm")  # NCCL joins GPUs through it, and a pod has 64 MB of it
    if gpus > 1 and shm.mount_path not in [mount.mount_path for mount in kubernetes.pod.mounts]:
        options["volumes"] = [V1Volume(name=shm.name, empty_dir=V1EmptyDirVolumeSource(medium="Memory"))]
        options["volume_mounts"] = [shm]
    return PodCommand(
        name=f"ssl-two-tower-{stage.replace('_', '-')}",
        image=kubernetes.image,
        namespace=kubernetes.namespace,
        service_account_name=kubernetes.service_account,
        startup_timeout_seconds=kubernetes.startup_seconds,
        schedule_timeout_seconds=kubernetes.startup_seconds,
        termination_grace_period=120,  # to end a step and save
        full_pod_spec=pod,
        deferrable=False,  # whatever Airflow's default is: the exit code is read where the pod is started
        **options,
    )


def _without(quantities: dict[str, str] | None, names: Set[str]) -> dict[str, str]:
    return {name: value for name, value in (quantities or {}).items() if name not in names}


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
