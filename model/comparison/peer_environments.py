"""The environments of other people's models, each in a folder of the directory that `make peers` leaves."""

import os

from stage.errors import UsageError
from stage.storage import join

ENVIRONMENTS = {"als": "implicit", "bpr": "implicit", "two_tower": "librecommender"}
"""Model -> the environment that has it."""


def python_of(directory: str, model: str) -> str:
    """The interpreter that has a model."""
    return join(directory, ENVIRONMENTS[model], "bin", "python")


def models_in(directory: str) -> set[str]:
    """The models whose environment is there.

    Raises:
        UsageError: If there is none.
    """
    found = {model for model in ENVIRONMENTS if os.path.exists(python_of(directory, model))}
    if not found:
        names = " or ".join(sorted(set(ENVIRONMENTS.values())))
        raise UsageError(
            f"--peers: expected {names} in the directory {directory}, found neither; make peers makes them"
        )
    return found
