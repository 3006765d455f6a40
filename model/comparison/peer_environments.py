"""Other people's models: where each is, of the directory that `make peers` leaves, and what runs it there."""

import os
from typing import NamedTuple

from stage import storage
from stage.errors import UsageError


class PeerModel(NamedTuple):
    """What has a model."""

    environment: str
    """A folder of the directory that `make peers` leaves."""
    program: str
    """In `peers/`, for the environment's interpreter."""


PEER_MODELS = {
    "als": PeerModel("implicit", "implicit_models.py"),
    "bpr": PeerModel("implicit", "implicit_models.py"),
    "two_tower": PeerModel("librecommender", "librecommender_two_tower.py"),
}


def python_of(directory: str, model: str) -> str:
    """The interpreter that has a model."""
    return storage.join(directory, PEER_MODELS[model].environment, "bin", "python")


def models_in(directory: str) -> set[str]:
    """The models whose environment is there.

    Raises:
        UsageError: If there is none.
    """
    found = {model for model in PEER_MODELS if os.path.exists(python_of(directory, model))}
    if not found:
        names = " or ".join(sorted({model.environment for model in PEER_MODELS.values()}))
        raise UsageError(
            f"--peers: expected {names} in the directory {directory}, found neither; make peers makes them"
        )
    return found
