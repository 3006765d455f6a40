"""TF_CONFIG: which processes train together, and which of them this one is."""

import json
from typing import NamedTuple

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


def read_tf_config(text: str) -> Worker:
    """Which worker this process is by TF_CONFIG: chief first, then workers by index; alone where it is empty or blank.

    Raises:
        UsageError: If it isn't `{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": N}}`.
    """
    wrong = 'TF_CONFIG: expected {"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": N}}'
    if not text.strip():
        return ALONE
    try:
        config = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{wrong}, got no JSON: {error}") from None
    if not isinstance(config, dict) or not isinstance(config.get("cluster", {}), dict):
        raise UsageError(f"{wrong}, got {text}")
    cluster = config.get("cluster", {})
    if not cluster:
        return ALONE
    unknown = sorted(set(cluster) - {"chief", "worker"})
    if unknown:
        raise UsageError(f"{wrong}, got tasks of type {unknown[0]}; this training knows chief and worker")
    tasks = {kind: cluster[kind] for kind in ("chief", "worker") if kind in cluster}
    for kind, addresses in tasks.items():
        if not isinstance(addresses, list) or not all(_is_address(a) for a in addresses):
            raise UsageError(f"{wrong}, got {kind}: {json.dumps(addresses)}")
    everyone = [(kind, index) for kind, addresses in tasks.items() for index in range(len(addresses))]
    addresses = [address for found in tasks.values() for address in found]
    if len(set(addresses)) < len(addresses):
        raise UsageError(f"{wrong}, got an address twice: {', '.join(addresses)}")
    task = config.get("task")
    own = (task.get("type"), task.get("index")) if isinstance(task, dict) else None
    if own not in everyone:
        known = ", ".join(f"{kind} {index}" for kind, index in everyone) or "none"
        raise UsageError(f"{wrong}, got task {json.dumps(task)}, which isn't of the cluster ({known})")
    return Worker(everyone.index(own), tuple(addresses))


def _is_address(text: object) -> bool:
    if not isinstance(text, str):
        return False
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 1 << 16
