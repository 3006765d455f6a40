"""Started by Airflow's own interpreter: prints what the DAG is and what its tasks would run, for each deployment.

stdin: name -> what the Airflow variable holds, and as `form` what a run's form changes. Last line of stdout: the same
names -> tasks, or the error.
"""

import json
import os
import sys
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException
from kubernetes.client import ApiClient

os.environ["AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE"] = "True"  # as another's Airflow may have it
sys.path.insert(0, os.environ["AIRFLOW__CORE__DAGS_FOLDER"])  # as Airflow does before it reads a DAG

from retraining.dag import make_dag
from retraining.deployment import VARIABLE, Deployment


class Judged:
    """The task instance, as far as a command asks it: the gate let the model pass while 6 was served."""

    def xcom_pull(self, task_ids: str) -> dict[str, Any]:
        """What a task left."""
        return {"gate": {"publish": True, "served": 6}}[task_ids]


CONTEXT = {
    "data_interval_start": datetime(2009, 7, 29, tzinfo=UTC),
    "data_interval_end": datetime(2009, 7, 30, tzinfo=UTC),
    "run_id": "scheduled__2009-07-29",
    "ti": Judged(),
}


class NoCluster:
    """What the pod operator asks of a cluster while it makes a pod: nothing is set there."""

    is_in_cluster = False

    def __getattr__(self, name: str) -> Any:
        """Every setting of the connection."""
        return lambda: None


def describe(dag: DAG, form: dict[str, Any]) -> dict[str, Any]:
    """Each task: its operator, what it waits for, and its rendered fields."""
    context = {**CONTEXT, "params": dag.params.dump() | form, "dag": dag}
    return {task.task_id: describe_task(task, context) for task in dag.topological_sort()}


def describe_task(task: Any, context: dict[str, Any]) -> dict[str, Any]:
    """One of them; `may_publish` needs a verdict to be rendered."""
    found = {
        "operator": task.task_type,
        "upstream": sorted(task.upstream_task_ids),
        "trigger_rule": task.trigger_rule,
        "retries": task.retries,
        "retry_seconds": task.retry_delay.total_seconds(),
        "hours": task.execution_timeout.total_seconds() / 3600,
        "pushes": task.do_xcom_push,
        "is_teardown": task.is_teardown,
        "alerts_by_itself": bool(task.on_failure_callback),
    }
    if task.task_id == "may_publish":
        return found | {"skips_all_after_it": task.ignore_downstream_trigger_rules}
    task.render_template_fields(context | {"task": task})
    if task.task_type == "PodCommand":
        task.__dict__["hook"] = NoCluster()
        made = task.build_pod_request_obj()
        pod = made.spec
        (container,) = pod.containers[:1]
        found["container"] = {
            "command": container.command,
            "args": container.args,
            "image": container.image,
            "limits": container.resources and container.resources.limits,
            "requests": container.resources and container.resources.requests,
            "env": {variable.name: variable.value for variable in container.env or []},
            "mounts": {mount.mount_path: mount.name for mount in container.volume_mounts or []},
        }
        found["pod"] = {
            "node_selector": pod.node_selector,
            "volumes": {volume.name: volume.empty_dir and volume.empty_dir.medium for volume in pod.volumes or []},
            "seconds": [task.schedule_timeout_seconds, task.startup_timeout_seconds],
            "grace": task.termination_grace_period,
            "user": ApiClient().sanitize_for_serialization(pod.security_context),
            "account": [made.metadata.namespace, pod.service_account_name],
        }
    if task.task_type == "TimeDeltaSensor":
        found["waits"] = [task.delta.total_seconds(), task.mode, task.timeout]
    shown = (
        "bash_command",
        "cwd",
        "body",
        "location",
        "project_id",
        "append_job_name",
        "wait_until_finished",
        "deferrable",
    )
    return found | {name: getattr(task, name) for name in shown if hasattr(task, name)}


def main() -> None:
    """Describes every deployment."""
    described = {}
    for name, content in json.load(sys.stdin).items():
        form = content.pop("form", {})
        os.environ[f"AIRFLOW_VAR_{VARIABLE.upper()}"] = json.dumps(content)
        try:
            dag = make_dag(Deployment.load())
            dag.validate()
            tasks = describe(dag, form)
        except (ValueError, AirflowFailException) as error:
            described[name] = {"error": str(error), "is_tried_again": not isinstance(error, AirflowFailException)}
            continue
        described[name] = {
            "tasks": tasks,
            "form": {key: dag.params.get_param(key).dump() for key in dag.params},
            "schedule": [dag.timetable.expression, str(dag.timetable.timezone), str(dag.start_date), dag.catchup],
            "max_active_runs": dag.max_active_runs,
            "depends_on_past": any(task.depends_on_past for task in dag.tasks),
            "stack": sorted({"tensorflow", "pipelines", "features", "stage"} & set(sys.modules)),
        }
    print(f"\n{json.dumps(described)}")  # a line of its own, after what Airflow logs


if __name__ == "__main__":
    main()
