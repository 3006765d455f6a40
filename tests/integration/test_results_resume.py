"""What results keep is of today's specs, and of datasets that today's build makes: else who copies it can't go on."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from places import ROOT, full_data

from features.spec.file import load_spec
from model.comparison.fraction import context_of
from pipelines import build_dataset
from pipelines.raw_logs import convert
from stage.manifest import Manifest

RESULTS = ROOT / "results"

COLD = ["split.cold_items=0.1"]
UNKNOWN = [*COLD, "item.features.page.min_count=1", "query.features.page.min_count=1"]
UNSHARED = [f"query.features.{name}.vocabulary=query_{name}" for name in ("page", "title", "categories")]
BUILDS = {
    "debian": ("debian", []),
    "movielens": ("movielens", []),
    "movielens-cold-unknown": ("movielens", [*COLD, "item.features.movie.min_count=1"]),
    "wikispeedia-links": ("wikispeedia-links", []),
    "wikispeedia-links-cold": ("wikispeedia-links", COLD),
    "wikispeedia-links-cold-unknown": ("wikispeedia-links", UNKNOWN),
    "wikispeedia-links-cold-unknown-1": ("wikispeedia-links", [*UNKNOWN, "split.seed=1"]),
    "wikispeedia-links-cold-unknown-2": ("wikispeedia-links", [*UNKNOWN, "split.seed=2"]),
    "wikispeedia-links-cold-unknown-2-unshared": ("wikispeedia-links", [*UNKNOWN, *UNSHARED, "split.seed=2"]),
    "wikispeedia-links-text": ("wikispeedia-links-text", []),
    "wikispeedia-links-text-cold-unknown-2": ("wikispeedia-links-text", [*UNKNOWN, "split.seed=2"]),
    "wikispeedia-sessions": ("wikispeedia-sessions", []),
    "wikispeedia-users-cold-unknown": ("wikispeedia-users", [*COLD, "item.features.page.min_count=1"]),
}
"""Directory -> the spec, and the overrides that the commands in docs/comparing.md give."""
KEPT = [(path.parts[-4], path) for path in sorted(RESULTS.glob("*/studies/fraction-*/shapes.json"))]


INPUTS = {"wikispeedia": "wikispeedia", "debian": "debian/Packages.trixie.xz", "movielens": "movielens/ml-100k"}


@pytest.fixture(scope="module")
def raw_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The raw log of public data, by name; skips where that isn't there."""

    @cache
    def converted(name: str) -> str:
        output = str(tmp_path_factory.mktemp(name) / "raw")
        convert.main([name, "--input", str(full_data(INPUTS[name])), "--output", output])
        return output

    return converted


OF_EACH = pytest.mark.parametrize(
    ("name", "shapes"), KEPT, ids=["-".join((name, path.parts[-2])) for name, path in KEPT]
)


def overrides_of(name: str, shapes: Path) -> list[str]:
    fraction = shapes.parts[-2].removeprefix("fraction-")
    return [*BUILDS[name][1], f"split.train_fraction={fraction}"]


@OF_EACH
def test_kept_trainings_are_of_the_specs_of_today(name: str, shapes: Path) -> None:
    """How many steps an epoch has is known to a build alone: some number of them is the one."""
    spec = load_spec(BUILDS[name][0], overrides_of(name, shapes), verb="compare")
    dataset = json.loads(shapes.read_text())["dataset"]
    contexts = [context_of(spec, dataset=dataset, steps_an_epoch=steps, most_steps=4000) for steps in range(1, 400)]
    for path in shapes.parent.glob("**/*.json"):
        assert path == shapes or json.loads(path.read_text())["context"] in contexts, path


@pytest.mark.slow
@OF_EACH
def test_a_build_makes_the_dataset_of_kept_trainings(
    name: str, shapes: Path, raw_of: Callable[[str], str], tmp_path: Path
) -> None:
    spec = BUILDS[name][0]
    options = [part for one in overrides_of(name, shapes) for part in ("--set", one)]
    output = str(tmp_path / "dataset")
    build_dataset.main(["--spec", spec, "--raw", raw_of(spec.partition("-")[0]), "--output", output, *options])
    assert Manifest.read(output, "dataset").content_digest == json.loads(shapes.read_text())["dataset"]
