"""The extras of setup.py: packages that some commands alone need, and what is said where one isn't there."""

from importlib.util import find_spec
from typing import NoReturn

from stage.errors import StageError

_TRAIN = {"keras": "keras", "scipy": "scipy", "tensorboard": "tensorboard"}
PACKAGES: dict[str, dict[str, str]] = {
    "train": _TRAIN,
    "serve": {"faiss": "faiss-cpu"},
    "spark": {"pyspark": "pyspark"},
    "compare": {**_TRAIN, "matplotlib": "matplotlib", "optuna": "optuna"},
    "report": {
        **_TRAIN,
        "jinja2": "jinja2",
        "matplotlib": "matplotlib",
        "sklearn": "scikit-learn",
        "threadpoolctl": "threadpoolctl",
    },
}
"""Extra -> module -> its package. `gcp` is not among them: what needs it says more of why."""


def require(extra: str, *, by: str) -> None:
    """Makes sure of an extra before work is begun that would be lost without it. Imports nothing.

    Args:
        extra: Its name.
        by: The command that needs it.

    Raises:
        StageError: If one of its packages isn't there.
    """
    for module, package in PACKAGES[extra].items():
        if find_spec(module) is None:
            _refuse(package, extra, by=by)


def refuse_missing(error: ModuleNotFoundError, *, by: str) -> None:
    """Says how to get the module that wasn't found, if it is one of an extra.

    Raises:
        StageError: If it is.
    """
    module = (error.name or "").partition(".")[0]
    # A command whose extra has its own name is told that one.
    for extra in sorted(PACKAGES, key=lambda extra: extra != by):
        if module in PACKAGES[extra]:
            _refuse(PACKAGES[extra][module], extra, by=by)


def _refuse(package: str, extra: str, *, by: str) -> NoReturn:
    raise StageError(f"{by} needs {package}, found none: pip install '.[{extra}]' in a checkout of ssl-two-tower")
