"""What a command says that lacks a package of an extra."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import setuptools

from stage.errors import StageError
from stage.extras import PACKAGES, refuse_missing

SETUP = Path(__file__).parents[3] / "setup.py"


@pytest.mark.parametrize("extra", PACKAGES)
def test_the_packages_are_those_of_setup_py(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", metadata.update)
    runpy.run_path(str(SETUP))
    names = [re.split("[<>=]", requirement)[0] for requirement in metadata["extras_require"][extra]]
    assert names == list(PACKAGES[extra].values())


@pytest.mark.parametrize(
    ("by", "module", "extra"),
    [
        ("report", "matplotlib.pyplot", "report"),
        ("compare", "matplotlib.pyplot", "compare"),
        ("train", "matplotlib.pyplot", "compare"),
        ("report", "scipy.sparse", "report"),
        ("compare", "scipy.sparse", "compare"),
        ("evaluate", "scipy.sparse", "train"),
    ],
)
def test_a_package_of_two_extras_is_of_the_one_that_is_called_like_the_command(
    by: str, module: str, extra: str
) -> None:
    package = module.partition(".")[0]
    with pytest.raises(StageError, match=rf"^{by} needs {package}, found none: pip install '\.\[{extra}\]' in a"):
        refuse_missing(ModuleNotFoundError(name=module), by=by)

    for other in (ModuleNotFoundError(name="pandas.core"), ModuleNotFoundError("of no name")):
        refuse_missing(other, by=by)  # which is of no extra
