"""Numbers of the context between two transforms, of stubs: whole datasets are in the integration tests."""

from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import tensorflow as tf

from features.dataset import HISTORY
from features.spec.features import MultivaluedFeature, NumericFeature
from model.ranking.context import translate_context
from model.ranking.reencoding import reencode_queries

TERMS = {"dataset": pa.array([b"a", b"b", b"c"]), "model": pa.array([b"b", b"a"])}


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


def test_no_more_values_are_read_than_the_model_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.ranking.context.read_terms", lambda directory, _: TERMS[directory])
    dataset, model = (
        SimpleNamespace(
            directory="d",
            transform_directory=name,
            spec=SimpleNamespace(features={"pair/tags": MultivaluedFeature(kind="multivalued", max_values=most)}),
        )
        for name, most in (("dataset", 3), ("model", 1))
    )
    features = {"pair/tags": tf.ragged.constant([[2, 0, 1], [1]], tf.int64, ragged_rank=1)}
    found = translate_context(features, dataset=dataset, model=model)
    assert found["pair/tags"].to_list() == [[1], [0]]  # c is unknown, and takes no place


def test_an_item_that_the_model_does_not_know_takes_up_its_place_in_a_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.ranking.reencoding.encode_entities", lambda *_, **__: {})
    monkeypatch.setattr("model.ranking.reencoding.translate_context", lambda *_, **__: {})
    monkeypatch.setattr("model.ranking.reencoding.history_vocabulary", lambda _: "items")
    monkeypatch.setattr("model.ranking.reencoding.read_terms", lambda directory, _: TERMS[directory])
    spec = SimpleNamespace(session=SimpleNamespace(max_history=2))
    dataset, model = (
        SimpleNamespace(spec=spec, transform_directory=name, manifest=SimpleNamespace(transform_digest=name))
        for name in TERMS
    )
    features = {HISTORY: tf.ragged.constant([[0, 1, 2], [1, 0]], tf.int64, ragged_rank=1)}
    found = reencode_queries(model, dataset, ids=[b"u", b"v"], features=features)
    assert found[HISTORY].to_list() == [[0], [0, 1]]
