"""What a command says that lacks a package of an extra."""

import re
from pathlib import Path

import pytest

from stage.errors import StageError
from stage.extras import PACKAGES, refuse_missing

SETUP = (Path(__file__).parents[3] / "setup.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("extra", PACKAGES)
def test_the_packages_are_those_of_setup_py(extra: str) -> None:
    (listed,) = re.findall(rf"^{extra.upper()} = \[(.*)\]$", SETUP, re.MULTILINE)
    assert re.findall(r'"([\w-]+)>=', listed) == list(PACKAGES[extra].values())


@pytest.mark.parametrize(("by", "extra"), [("report", "report"), ("compare", "compare"), ("train", "compare")])
def test_a_package_of_two_extras_is_of_the_one_that_is_called_like_the_command(by: str, extra: str) -> None:
    with pytest.raises(StageError, match=rf"^{by} needs matplotlib, found none: pip install '\.\[{extra}\]' in a"):
        refuse_missing(ModuleNotFoundError(name="matplotlib.pyplot"), by=by)


@pytest.mark.parametrize("error", [ModuleNotFoundError(name="pandas.core"), ModuleNotFoundError("of no name")])
def test_what_is_of_no_extra_is_no_business_of_theirs(error: ModuleNotFoundError) -> None:
    refuse_missing(error, by="train")
