"""A model that ranks as another one does, but the last first."""

from pathlib import Path
from typing import Any

from manifests import rewrite

from model.network.npz import pack, unpack
from stage.manifest import describe_files


def negate(model: Path, **fields: Any) -> None:
    """Has a model rank so, and gives its manifest these fields too."""
    path = str(model / "weights.npz")
    weights = unpack(path)
    pack(path, weights | {name: -weights[name] for name in ("query_tower/1/kernel", "query_tower/1/bias")})
    rewrite(model, content={"weights": "negated"}, files=describe_files(str(model)), **fields)
