from itertools import pairwise
from types import SimpleNamespace

import pytest

from features.spec.file import load_spec
from model.comparison.dataset_build import build_dataset


def test_a_share_is_built_by_the_spec_as_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, list[str]]] = []
    monkeypatch.setattr("model.comparison.dataset_build.run_verb", lambda *given, **_: asked.append(given))
    monkeypatch.setattr("model.comparison.dataset_build.Dataset", SimpleNamespace(open=str))
    spec = load_spec("debian", ["split.train_fraction=0.1", "split.cold_items=0.2"])
    assert build_dataset(spec, source="debian", raw="logs", directory="d") == "d/dataset"
    ((verb, flags),) = asked
    assert verb == "run"
    overrides = [value for flag, value in pairwise(flags) if flag == "--set"]
    assert load_spec("debian", overrides).split == spec.split
