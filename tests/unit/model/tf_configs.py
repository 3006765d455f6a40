"""TF_CONFIG as a scheduler sets it."""

import json
from collections.abc import Mapping, Sequence


def tf_config(cluster: Mapping[str, Sequence[str] | str], kind: str = "worker", index: int = 0) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})
