"""README's "`.[train]` is enough": the commands are imported where only its packages and what these bring can be."""

import json
import runpy
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipelines.cli import VERBS

ROOT = Path(__file__).parents[2]
IMPORT = """
import importlib.abc, json, sys

forbidden, modules = map(json.loads, sys.argv[1:])

class Forbid(importlib.abc.MetaPathFinder):
    def find_spec(self, name, *_):
        if name.split(".")[0] in forbidden:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, Forbid())
missing = {}
for module in modules:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing[module] = error.name
print(json.dumps(missing))
"""


def distributions_of(requirements: list[str]) -> set[str]:
    """What pip installs for them, among what is installed here."""
    found: set[tuple[str, str]] = set()
    left = [("", text) for text in requirements]
    while left:
        extra, text = left.pop()
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for wanted in {(name, ""), *((name, of) for of in requirement.extras)} - found:
            found.add(wanted)
            try:
                left += [(wanted[1], needed) for needed in requires(name) or []]
            except PackageNotFoundError:  # of another platform or Python
                continue
    return {name for name, _ in found}


def test_the_extra_train_is_enough_to_import_all_commands_but_report(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", metadata.update)
    runpy.run_path(str(ROOT / "setup.py"))
    there = distributions_of([*metadata["install_requires"], *metadata["extras_require"]["train"]])
    forbidden = {
        module
        for module, packages in packages_distributions().items()
        if not there & {canonicalize_name(package) for package in packages}
    } - {"stage", "features", "pipelines", "model"}
    assert {"faiss", "jinja2", "matplotlib", "optuna", "pyspark", "sklearn", "threadpoolctl"} <= forbidden
    assert not {"apache_beam", "keras", "numpy", "scipy", "tensorboard", "tensorflow"} & forbidden
    arguments = map(json.dumps, (sorted(forbidden), [verb.module for verb in VERBS.values()]))
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"model.report": "jinja2"}
