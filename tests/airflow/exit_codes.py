"""Started by Airflow's own interpreter: commands on the worker and in pods that end with exit codes.

stdin: a list of them. Last line of stdout: for each how a task on the worker, and one in a pod, ends.
"""

import json
import os
import sys
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException
from kubernetes.client import (
    V1ContainerState,
    V1ContainerStateTerminated,
    V1ContainerStatus,
    V1ObjectMeta,
    V1Pod,
    V1PodSpec,
    V1PodStatus,
)

sys.path.insert(0, os.environ["AIRFLOW__CORE__DAGS_FOLDER"])

from retraining.pod_command import PodCommand
from retraining.worker_command import WorkerCommand


def ended_pod(code: int) -> V1Pod:
    """A pod as Kubernetes has it once its command has ended."""
    state = V1ContainerState(terminated=V1ContainerStateTerminated(exit_code=code))
    status = V1ContainerStatus(name="base", image="IMAGE", image_id="", ready=False, restart_count=0, state=state)
    return V1Pod(
        metadata=V1ObjectMeta(name="pod", namespace="models"),
        spec=V1PodSpec(containers=[]),
        status=V1PodStatus(phase="Failed" if code else "Succeeded", container_statuses=[status]),
    )


def in_pod(code: int) -> PodCommand:
    """A task whose pod has ended, in a cluster that takes every request."""
    task = PodCommand(task_id="train", name="train", image="IMAGE", namespace="models")
    pod = ended_pod(code)
    task.__dict__ |= {
        "is_istio_enabled": lambda _: False,
        "process_pod_deletion": lambda *_, **__: None,
        "patch_already_checked": lambda *_, **__: None,
        "execute_sync": lambda _: task.cleanup(pod, pod),
        "log_events_on_failure": False,
    }
    return task


def end_of(task: Any) -> str:
    """How it ends."""
    try:
        task.execute({})
    except AirflowFailException:
        return "failed for good"
    except AirflowException:
        return "failed"
    return "succeeded"


if __name__ == "__main__":
    ends = [
        [end_of(WorkerCommand(task_id="train", bash_command=f"exit {code}", env={})), end_of(in_pod(code))]
        for code in json.load(sys.stdin)
    ]
    print(f"\n{json.dumps(ends)}")
