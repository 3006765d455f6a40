"""Views that show the same, once."""

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from ragged_lists import ragged
from training_specs import Rig

from features.dataset import EncodedFeature
from features.transform_graph import whole_vectors
from model.training.distinct_views import each_apart, shared

FEATURES = [
    EncodedFeature("item/topic", "topic", "categorical", "topic", 9),
    EncodedFeature("item/words", "words", "text", "topic", 9),
    EncodedFeature("item/size", "size", "numeric", None, 0),
]


def _views(rows):
    """Ragged, of rows of (topics, words, sizes)."""
    columns = zip(FEATURES, zip(*rows, strict=True), strict=True)
    return {f.key: ragged(column, tf.float32 if f.kind == "numeric" else tf.int64) for f, column in columns}


def _rows(views):
    return list(zip(*(views[f.key].to_list() for f in FEATURES), strict=True))


def test_equal_views_are_one_whatever_the_order_of_their_values():
    views = _views(
        [
            ([1], [2, 3], [0.5]),
            ([1], [3, 2], [0.5]),
            ([], [2, 3], [0.5]),  # nothing is not code 0
            ([0], [2, 3], [0.5]),
            ([1], [2, 3], []),
            ([1], [2, 3], [0.0]),
            ([1], [2, 3, 3], [0.5]),
            ([2], [1, 3], [0.5]),  # another feature's value is another
            ([1], [2, 3], [0.5]),
        ]
    )
    found = shared(views, FEATURES)
    assert found.view_of.numpy().tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 0]
    rows = _rows(views)
    assert _rows(found.views) == [rows[i] for i in (0, 2, 3, 4, 5, 6, 7)]


def test_of_a_vector_the_order_counts():
    look = EncodedFeature("item/look", "look", "vector", None, 0, size=3)
    rows = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    found = shared({"item/look": whole_vectors(ragged(rows, tf.float32), 3)}, [look])
    assert found.view_of.numpy().tolist() == [0, 1, 2, 0, 3]


def test_views_of_nothing_are_one():
    found = shared(_views([([], [], []), ([], [], [])]), FEATURES)
    assert (_rows(found.views), found.view_of.numpy().tolist()) == ([([], [], [])], [0, 0])


def test_apart_each_item_has_its_own():
    views = _views([([1], [], []), ([1], [], [])])
    found = each_apart(views)
    assert (_rows(found.views), found.view_of.numpy().tolist()) == (_rows(views), [0, 1])


VALUES = st.tuples(
    st.lists(st.integers(0, 8), max_size=1),
    st.lists(st.integers(0, 8), max_size=3),
    st.lists(st.sampled_from([-1.0, 0.0, 0.25]), max_size=1),
)


@settings(max_examples=50)
@given(st.lists(VALUES, min_size=1, max_size=12))
def test_every_item_finds_what_it_showed(rows):
    found = shared(_views(rows), FEATURES)
    canonical = [tuple(map(sorted, row)) for row in rows]
    kept = [tuple(map(sorted, row)) for row in _rows(found.views)]
    assert [kept[i] for i in found.view_of.numpy()] == canonical
    assert len(set(map(str, kept))) == len(kept) == len(set(map(str, canonical)))


def test_a_step_learns_from_shared_views_what_it_does_from_each_item_s_own(tiny_dataset, monkeypatch):
    def train():
        rig = Rig(tiny_dataset, "ssl.augmentation=cfm", "ssl.alpha=1", "ssl.dropout_rate=0.5")
        take_steps = rig.steps({"page": ["page", "words", "size"]})  # the first view is the topic alone
        losses = [take_steps(1).numpy() for _ in range(5)]
        return losses, {name: variable.numpy() for name, variable in rig.training.learned().items()}

    losses, weights = train()
    monkeypatch.setattr("model.training.prepared_batches.shared", lambda views, _: each_apart(views))
    losses_apart, weights_apart = train()
    np.testing.assert_allclose(losses, losses_apart, rtol=1e-5)
    for name, found in weights.items():
        np.testing.assert_allclose(found, weights_apart[name], rtol=1e-3, atol=1e-4, err_msg=name)
