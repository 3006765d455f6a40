"""A stage as a pod: what the Airflow variable says goes before what its template of pods says."""

from collections.abc import Set
from copy import copy
from typing import Any

from kubernetes.client import (
    V1EmptyDirVolumeSource,
    V1Pod,
    V1PodSecurityContext,
    V1ResourceRequirements,
    V1Volume,
    V1VolumeMount,
)

from retraining.deployment import Kubernetes
from retraining.pod import read_pod
from retraining.pod_command import PodCommand

_XCOM = "/airflow/xcom/return.json"
"""Where a pod leaves what Airflow reads."""
_USER = 1000
_TO_SAVE_SECONDS = 120
"""To end a step and save."""


def pod_operator(
    kubernetes: Kubernetes, *, stage: str, arguments: str, gpus: int, options: dict[str, Any]
) -> PodCommand:
    """Makes the task.

    Args:
        kubernetes: Says where it runs.
        stage: A key of STAGES. What gate prints is the task's result.
        arguments: Of `ssl-two-tower`, for a shell; rendered from the run's context.
        gpus: Of the pod.
        options: As every operator takes them.
    """
    template = kubernetes.pod.model_dump(by_alias=True, exclude_unset=True)
    pod = read_pod(template) if template else None
    is_read = stage == "gate"
    script = f"exec ssl-two-tower {arguments}{f' > {_XCOM}' if is_read else ''}"
    given = {
        "do_xcom_push": is_read or None,
        "node_selector": {**kubernetes.pod.spec.node_selector, **kubernetes.gpu_node_selector} if gpus else None,
        "container_resources": _resources(kubernetes, pod, gpus=gpus),
        **_shared_memory(kubernetes, gpus=gpus),
    }
    return PodCommand(
        name=f"ssl-two-tower-{stage.replace('_', '-')}",
        image=kubernetes.image,
        namespace=kubernetes.namespace,
        service_account_name=kubernetes.service_account,
        startup_timeout_seconds=kubernetes.startup_seconds,
        schedule_timeout_seconds=kubernetes.startup_seconds,
        termination_grace_period=_TO_SAVE_SECONDS,
        full_pod_spec=pod,
        security_context=_user(pod),
        deferrable=False,  # whatever Airflow's default is: the exit code is read where the pod is started
        # Not as a list that is rendered to a Python object: so would be all other fields, and a label "1" a number.
        cmds=["bash", "-c"],
        arguments=[script],
        **{name: value for name, value in given.items() if value is not None},
        **options,
    )


def _resources(kubernetes: Kubernetes, pod: V1Pod | None, *, gpus: int) -> V1ResourceRequirements | None:
    """The template's, of which Airflow keeps none beside others, and the variable's; None: the template's alone.

    One of a pair that the variable sets goes without what the template says of the other, which it may exceed.
    """
    requests = {name: value for name in ("cpu", "memory") if (value := getattr(kubernetes, name)) is not None}
    limits = {name: value for name, value in requests.items() if name == "memory"}
    limits |= {"nvidia.com/gpu": str(gpus)} if gpus else {}
    if not requests and not limits:
        return None
    container = pod and next(iter(pod.spec.containers), None)
    resources = copy((container and container.resources) or V1ResourceRequirements())
    set_here = {*requests, *limits}
    resources.requests = {**_without(resources.requests, set_here), **requests} or None
    resources.limits = {**_without(resources.limits, set_here), **limits} or None
    return resources


def _without(quantities: dict[str, str] | None, names: Set[str]) -> dict[str, str]:
    return {name: value for name, value in (quantities or {}).items() if name not in names}


def _user(pod: V1Pod | None) -> V1PodSecurityContext:
    """The template's; if it has none, not root, which it would be since the image names none either."""
    user = copy((pod and pod.spec.security_context) or V1PodSecurityContext())
    if user.run_as_user is None:
        user.run_as_user, user.run_as_group = _USER, user.run_as_group or _USER
    return user


def _shared_memory(kubernetes: Kubernetes, *, gpus: int) -> dict[str, Any]:
    """Through which NCCL joins GPUs, where the template mounts none: a pod has 64 MB of it."""
    shm = V1VolumeMount(name="nccl-shm", mount_path="/dev/shm")
    if gpus < 2 or shm.mount_path in [mount.mount_path for mount in kubernetes.pod.mounts]:
        return {}
    volume = V1Volume(name=shm.name, empty_dir=V1EmptyDirVolumeSource(medium="Memory"))
    return {"volumes": [volume], "volume_mounts": [shm]}
