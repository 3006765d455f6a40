"""The pod that the commands' pods are made from, out of the Airflow variable."""

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
from kubernetes.client import ApiClient, V1Pod

from retraining.deployment import VARIABLE

_AT = f"Airflow variable {VARIABLE}: kubernetes.pod"


def read_pod(pod: Mapping[str, Any]) -> V1Pod:
    """A pod as Kubernetes' client has it.

    Raises:
        ValueError: If there is a key that Kubernetes doesn't know, which its client would drop, or one is missing.
    """
    spec = {"containers": [{"name": "base"}], **pod.get("spec", {})}
    try:
        read = PodGenerator.deserialize_model_dict({**pod, "spec": spec})
    except ValueError as error:
        raise ValueError(f"{_AT}: {error}") from None
    for key in _dropped(pod, ApiClient().sanitize_for_serialization(read), at=_AT):
        raise ValueError(f"{key}: expected a pod as Kubernetes has it, got a key that it doesn't know there")
    return read


def _dropped(given: Any, read: Any, *, at: str) -> list[str]:
    """The keys that aren't there any more."""
    if isinstance(given, Mapping):
        known = read if isinstance(read, Mapping) else {}
        gone = [f"{at}.{key}" for key in given if key not in known]
        return gone + [
            name for key in given if key in known for name in _dropped(given[key], known[key], at=f"{at}.{key}")
        ]
    if isinstance(given, Sequence) and not isinstance(given, str):
        pairs = zip(given, read or [], strict=False)
        return [name for n, pair in enumerate(pairs) for name in _dropped(*pair, at=f"{at}[{n}]")]
    return []
