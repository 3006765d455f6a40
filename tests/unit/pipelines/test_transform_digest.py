"""The digest by which a model knows that a dataset's examples are encoded as its own were."""

import pytest

from features.spec.spec import Spec
from pipelines.beam.transform import digest_transform

CONTENT = {"vocabularies/item_song": "0" * 64, "constants": "1" * 64}
TREE = {
    "name": "songs",
    "sources": {"interactions": {"path": "x", "timestamp": "at"}, "items": {"path": "x"}, "queries": {"path": "x"}},
    "query": {"features": {"likes": {"kind": "multivalued", "max_values": 4}}},
    "item": {"features": {"song": {"kind": "id"}, "tags": {"kind": "multivalued", "max_values": 4}}},
    "split": {"method": "query_hash"},
    "session": {"max_history": 4, "context": {"features": {"mood": {"kind": "multivalued", "max_values": 4}}}},
}


def changed(tree, key, *below, to):
    """A tree with one key changed."""
    return tree | {key: changed(tree.get(key, {}), *below, to=to) if below else to}


def digest_of(tree, content=CONTENT):
    return digest_transform(content, Spec.model_validate(tree))


@pytest.mark.parametrize(
    "keys",
    [
        ("session", "max_history"),
        ("session", "context", "features", "mood", "max_values"),
        ("query", "features", "likes", "max_values"),
        ("item", "features", "tags", "max_values"),
    ],
)
def test_it_differs_where_an_example_holds_more(keys):
    assert digest_of(changed(TREE, *keys, to=5)) != digest_of(TREE)


def test_it_differs_where_something_else_was_learned():
    assert digest_of(TREE, CONTENT | {"constants": "2" * 64}) != digest_of(TREE)


@pytest.mark.parametrize("keys", [("session", "gap"), ("session", "min_history"), ("split", "seed"), ("train", "seed")])
def test_it_is_the_same_where_only_other_examples_are_made(keys):
    assert digest_of(changed(TREE, *keys, to=3)) == digest_of(TREE)
