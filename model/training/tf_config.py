"""TF_CONFIG: which processes train together, and which of them this one is."""

import json
from typing import Any, NamedTuple

from stage.errors import UsageError


class Worker(NamedTuple):
    """A process, one of those that train together."""

    number: int
    addresses: tuple[str, ...]
    """HOST:PORT of each worker; one at least, which alone isn't used."""

    @property
    def of(self) -> int:
        """How many there are."""
        return len(self.addresses)


ALONE = Worker(0, ("localhost",))
_KINDS = ("chief", "worker")
"""In the order of their numbers."""
_WRONG = 'TF_CONFIG: expected {"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": N}}'


def read_tf_config(text: str) -> Worker:
    """Which worker this process is by TF_CONFIG: chief first, then workers by index; alone where it is empty or blank.

    Raises:
        UsageError: If it isn't `{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": N}}`.
    """
    if not text.strip():
        return ALONE
    try:
        config = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{_WRONG}, got no JSON: {error}") from None
    cluster = config.get("cluster", {}) if isinstance(config, dict) else None
    if not isinstance(cluster, dict):
        raise UsageError(f"{_WRONG}, got {text}")
    if not cluster:
        return ALONE
    address_of = _address_of(cluster)
    everyone, task = list(address_of), config.get("task")
    own = (task.get("type"), task.get("index")) if isinstance(task, dict) else None
    if own not in everyone:
        known = ", ".join(f"{kind} {index}" for kind, index in everyone) or "none"
        raise UsageError(f"{_WRONG}, got task {json.dumps(task)}, which isn't of the cluster ({known})")
    return Worker(everyone.index(own), tuple(address_of.values()))


def _address_of(cluster: dict[str, Any]) -> dict[tuple[str, int], str]:
    """Kind and index of each process -> its address, in the order of their numbers."""
    unknown = sorted(set(cluster) - set(_KINDS))
    if unknown:
        raise UsageError(f"{_WRONG}, got tasks of type {unknown[0]}; this training knows chief and worker")
    tasks = {kind: cluster[kind] for kind in _KINDS if kind in cluster}
    for kind, addresses in tasks.items():
        if not isinstance(addresses, list) or not all(_is_address(a) for a in addresses):
            raise UsageError(f"{_WRONG}, got {kind}: {json.dumps(addresses)}")
    found = {(kind, index): address for kind, addresses in tasks.items() for index, address in enumerate(addresses)}
    if len(set(found.values())) < len(found):
        raise UsageError(f"{_WRONG}, got an address twice: {', '.join(found.values())}")
    return found


def _is_address(text: object) -> bool:
    if not isinstance(text, str):
        return False
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 1 << 16
