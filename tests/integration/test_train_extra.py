"""README's "`.[train]` is enough", and what needs no extra: modules are imported where only the packages that setup.py
names for them, and what these bring, can be.
"""

import json
import runpy
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from typing import Any

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from places import ROOT

from pipelines.cli import VERBS

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


def missing(modules: list[str], monkeypatch: pytest.MonkeyPatch, *, extras: list[str], forbids: set[str]) -> Any:
    """Module -> what it needs that isn't there with these extras, among which are `forbids`."""
    metadata: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", metadata.update)
    runpy.run_path(str(ROOT / "setup.py"))
    wanted = [requirement for extra in extras for requirement in metadata["extras_require"][extra]]
    there = distributions_of([*metadata["install_requires"], *wanted])
    forbidden = {
        module
        for module, packages in packages_distributions().items()
        if not there & {canonicalize_name(package) for package in packages}
    } - {"stage", "features", "pipelines", "model"}
    assert forbids <= forbidden
    assert not {"apache_beam", "keras", "numpy", "tensorflow"} & forbidden
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, *map(json.dumps, (sorted(forbidden), modules))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_extra_train_is_enough_to_import_all_commands_but_report(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = [verb.module for verb in VERBS.values()]
    forbids = {"faiss", "jinja2", "matplotlib", "optuna", "pyspark", "sklearn", "threadpoolctl"}
    assert missing(modules, monkeypatch, extras=["train"], forbids=forbids) == {"model.report": "jinja2"}


def test_an_export_recommends_without_any_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = ["model.api", "model.recommend", "model.similar", "pipelines.build_dataset", "pipelines.publish"]
    forbids = {"faiss", "jinja2", "matplotlib", "pyspark", "scipy", "tensorboard"}
    assert missing(modules, monkeypatch, extras=[], forbids=forbids) == {}
