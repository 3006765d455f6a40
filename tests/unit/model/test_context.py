"""Numbers of the context between two transforms, of stubs: whole datasets are in the integration tests."""

from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf

from features.spec.features import NumericFeature
from model.ranking.context import translate_context


def test_a_number_that_is_always_the_same_is_translated_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the dataset's -1 to 1 the model makes 3 to 5. One key is constant in it, another in its training alone."""
    keys = ("pair/varies", "pair/constant", "pair/constant_in_training")
    ends = dict(zip(keys, [(0.0, 8.0), (6.0, 6.0), (0.0, 8.0)], strict=True))
    made = {
        "dataset": dict(zip(keys, [(-1.0, 1.0), (0.0, 0.0), (0.0, 0.0)], strict=True)),
        "model": dict(zip(keys, [(3.0, 5.0), (0.25, 0.25), (3.0, 5.0)], strict=True)),
    }
    statistics = {
        key: SimpleNamespace(num_stats=SimpleNamespace(min=low, max=high)) for key, (low, high) in ends.items()
    }
    monkeypatch.setattr("model.ranking.context.storage.read_bytes", lambda _: b"")
    monkeypatch.setattr("model.ranking.context.by_feature", lambda _: statistics)

    def transform_numbers(numbers: Any, _: Any, *, transform_directory: str) -> Any:
        assert numbers == ends
        return made[transform_directory]

    monkeypatch.setattr("model.ranking.context.transform_numbers", transform_numbers)
    spec = SimpleNamespace(features=dict.fromkeys(keys, NumericFeature(kind="numeric")))
    dataset, model = (SimpleNamespace(directory="d", spec=spec, transform_directory=name) for name in made)
    encoded = {
        "pair/varies": [[0.0], [], [1.0]],
        "pair/constant": [[0.0], []],
        "pair/constant_in_training": [[0.0], []],
    }
    features = {key: tf.ragged.constant(values, tf.float32, ragged_rank=1) for key, values in encoded.items()}
    found = translate_context(features, dataset=dataset, model=model)
    assert {key: values.to_list() for key, values in found.items()} == {
        "pair/varies": [[4.0], [], [5.0]],
        "pair/constant": [[0.25], []],
        "pair/constant_in_training": [[], []],
    }
