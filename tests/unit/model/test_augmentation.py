"""Masks, dropped values, and twins."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from ragged_lists import ragged

from features.dataset import EncodedFeature
from features.spec.file import load_spec
from features.spec.training import Ssl
from model.network.draws import Rows
from model.training.augmentation import Augmentation, Views, random_masks, shown_fingerprints, twins
from model.training.fingerprints import fingerprints, fingerprints_by_feature

FEATURES = [
    EncodedFeature("item/page", "page", "id", "page", 100),
    EncodedFeature("item/topic", "topic", "categorical", "topic", 5),
    EncodedFeature("item/words", "words", "text", "words", 50),
    EncodedFeature("item/size", "size", "numeric", None, 0),
]
GROUPS = {
    "page": ["page", "size", "words"],
    "topic": ["topic", "page", "words"],
    "words": ["words", "page", "topic"],
    "size": ["size", "page", "words"],
}
COUNT = 64


ITEMS = {
    "item/page": ragged([[i] for i in range(COUNT)]),
    "item/topic": ragged([[i % 5] for i in range(COUNT)]),
    "item/words": ragged([list(range(8)) for _ in range(COUNT)]),
    "item/size": ragged([[float(i)] for i in range(COUNT)], tf.float32),
}
SPEC = load_spec("debian")
ROWS = Rows(tf.range(COUNT, dtype=tf.int64), COUNT)


def _augmentation(groups=None, seed=3, **ssl):
    return Augmentation(Ssl(**ssl), FEATURES, groups=groups or GROUPS, seed=seed)


def _views(step=0, rows=ROWS, items=ITEMS, **ssl):
    return _augmentation(**ssl).views(items, step=tf.constant(step, tf.int64), rows=rows)


def _draw(**ssl):
    """Step -> views of the items, in a graph as a training draws them: faster where many steps are drawn."""
    augmentation = _augmentation(**ssl)

    @tf.function(input_signature=[tf.TensorSpec([], tf.int64)])
    def draw(step):
        views = augmentation.views(ITEMS, step=step, rows=ROWS)
        return views.first, views.second, views.first_visible, views.second_visible

    return lambda step: Views(*draw(tf.constant(step, tf.int64)))


def _shown(view):
    """[S, K]: whether an item shows any value of a feature."""
    return np.stack([view[f.key].row_lengths().numpy() > 0 for f in FEATURES], axis=1)


@pytest.mark.parametrize("seed_per", ["batch", "item"])
def test_correlated_masks_are_groups_and_the_other_view_is_the_complement(seed_per):
    masks = {tuple(f.name in group for f in FEATURES) for group in GROUPS.values()}
    seen = set()
    draw = _draw(augmentation="cfm", dropout_rate=0.0, seed_per=seed_per)
    for views in map(draw, range(20)):
        first, second = _shown(views.first), _shown(views.second)
        np.testing.assert_array_equal(first, ~second)
        np.testing.assert_array_equal(first, views.first_visible)
        found = {tuple((~row).tolist()) for row in first}
        assert found <= masks
        assert len(found) == 1 or seed_per == "item"
        seen |= found
    assert seen == masks


def test_seeds_are_drawn_uniformly():
    groups = {name: [name] for name in ("page", "topic", "words", "size")}
    draw = _draw(groups=groups, augmentation="cfm", seed_per="item")
    counts = np.sum([(~draw(step).first_visible.numpy()).sum(axis=0) for step in range(50)], axis=0)
    np.testing.assert_allclose(counts / (50 * COUNT), 0.25, atol=0.03)


def test_without_complement_the_second_view_draws_its_own_mask():
    masks = {tuple(f.name not in group for f in FEATURES) for group in GROUPS.values()}
    pairs = set()
    for views in map(_draw(augmentation="cfm", complement=False, dropout_rate=0.0), range(30)):
        pairs.add((tuple(_shown(views.first)[0]), tuple(_shown(views.second)[0])))
    assert {p for pair in pairs for p in pair} <= masks
    assert len(pairs) > len(masks)


def test_random_masks_are_as_large_as_correlated_ones():
    for seed_per in ("batch", "item"):
        seen = set()
        for views in map(_draw(augmentation="rfm", dropout_rate=0.0, seed_per=seed_per), range(30)):
            first = _shown(views.first)
            np.testing.assert_array_equal(first, ~_shown(views.second))
            np.testing.assert_array_equal((~first).sum(axis=1), 3)
            seen |= {tuple(row.tolist()) for row in first}
        assert len(seen) == 4


def test_an_id_that_is_no_feature_for_masks_stays_in_both_views():
    groups = {"topic": ["topic", "words"], "words": ["words", "topic"], "size": ["size", "topic"]}
    for augmentation in ("cfm", "rfm"):
        for step in range(5):
            views = _views(step, groups=groups, augmentation=augmentation, mask_id=False, dropout_rate=0.0)
            first, second = _shown(views.first), _shown(views.second)
            assert first[:, 0].all()
            assert second[:, 0].all()
            np.testing.assert_array_equal(first[:, 1:], ~second[:, 1:])
            assert first[:, 1:].any()
            assert second[:, 1:].any()


def test_dropout_alone_drops_values_of_multivalued_features_independently():
    views = _views(augmentation="dropout", dropout_rate=0.3)
    assert views.first_visible.numpy().all()
    kept = [views.first["item/words"], views.second["item/words"]]
    for values in kept:
        assert values.values.shape[0] / (COUNT * 8) == pytest.approx(0.7, abs=0.06)
    assert kept[0].to_list() != kept[1].to_list()
    assert len({tuple(row) for row in kept[0].to_list()}) > 30  # of 64 items with the same eight values
    for key in ("item/page", "item/topic", "item/size"):
        assert views.first[key].to_list() == views.second[key].to_list() == ITEMS[key].to_list()


def test_spread_out_is_the_item_itself():
    views = _views(augmentation="spread_out", dropout_rate=0.3)
    for key, values in ITEMS.items():
        assert views.first[key].to_list() == values.to_list() == views.second[key].to_list()


@pytest.mark.parametrize("seed_per", ["batch", "item"])
@pytest.mark.parametrize("augmentation", ["cfm", "rfm", "dropout"])
def test_a_row_draws_the_same_on_every_worker(augmentation, seed_per):
    draw = _draw(augmentation=augmentation, seed_per=seed_per)
    whole = draw(7)
    mine = [3, 10, 11, 50]
    items = {key: tf.gather(values, mine) for key, values in ITEMS.items()}
    rows = Rows(tf.constant(mine, tf.int64), COUNT)
    part = _views(7, rows=rows, items=items, augmentation=augmentation, seed_per=seed_per)
    for key in items:
        assert part.first[key].to_list() == tf.gather(whole.first[key], mine).to_list()
        assert part.second[key].to_list() == tf.gather(whole.second[key], mine).to_list()
    others = [draw(step) for step in range(8, 30)]
    assert any(other.first[key].to_list() != whole.first[key].to_list() for other in others for key in items)


def test_feature_dropout_drops_whole_features_of_the_main_task():
    augmentation = _augmentation(augmentation="feature_dropout", dropout_rate=0.4, mask_id=False)
    drop = tf.function(lambda step: augmentation.drop_features(ITEMS, step=step, rows=ROWS))
    shown = [_shown(drop(tf.constant(step, tf.int64))) for step in range(20)]
    np.testing.assert_allclose(np.mean(shown, axis=(0, 1)), [1.0, 0.6, 0.6, 0.6], atol=0.05)
    assert not np.array_equal(shown[0], shown[1])


def test_ids_are_dropped_from_the_main_task_as_often_as_asked_and_nothing_else_is():
    augmentation = _augmentation()
    drop = tf.function(lambda step: augmentation.drop_ids(ITEMS, rate=0.3, step=step, rows=ROWS))
    shown = np.mean([_shown(drop(tf.constant(step, tf.int64))) for step in range(40)], axis=(0, 1))
    np.testing.assert_allclose(shown, [0.7, 1.0, 1.0, 1.0], atol=0.03)
    # A row draws the same on every worker.
    mine = [3, 10, 11, 50]
    items, step = {key: tf.gather(values, mine) for key, values in ITEMS.items()}, tf.constant(7, tf.int64)
    part = augmentation.drop_ids(items, rate=0.3, step=step, rows=Rows(tf.constant(mine, tf.int64), COUNT))
    assert part["item/page"].to_list() == tf.gather(drop(step)["item/page"], mine).to_list()


def test_another_seed_draws_all_anew():
    at = {"step": tf.constant(0, tf.int64), "rows": ROWS}

    def drawn(seed):
        masking = _augmentation(seed=seed, augmentation="rfm", seed_per="item", dropout_rate=0.5)
        dropping = _augmentation(seed=seed, augmentation="dropout", dropout_rate=0.5)
        words = dropping.views(ITEMS, **at).first["item/words"].to_list()
        shown = [masking.drop_features(ITEMS, **at), masking.drop_ids(ITEMS, rate=0.5, **at)]
        return [words, masking.views(ITEMS, **at).first_visible.numpy().tolist(), *(_shown(s).tolist() for s in shown)]

    for one, other in zip(drawn(3), drawn(4), strict=True):
        assert one != other


def test_each_feature_s_values_are_dropped_by_draws_of_its_own():
    features = [FEATURES[2], EncodedFeature("item/tags", "tags", "multivalued", "tags", 50)]
    augmentation = Augmentation(Ssl(augmentation="dropout", dropout_rate=0.5), features, groups=None, seed=3)
    items = {f.key: ITEMS["item/words"] for f in features}
    first = augmentation.views(items, step=tf.constant(0, tf.int64), rows=ROWS).first
    assert first["item/words"].to_list() != first["item/tags"].to_list()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.booleans(), min_size=1, max_size=9), st.integers(0, 2**31))
def test_random_masks_touch_maskable_features_and_leave_one(maskable, seed):
    draws = np.random.default_rng(seed).uniform(size=(16, len(maskable))).astype(np.float32)
    masks = random_masks(tf.constant(draws), np.array(maskable)).numpy()
    assert not masks[:, ~np.array(maskable)].any()
    k = sum(maskable)
    assert set(masks.sum(axis=1)) == {min(k // 2 + 1, k - 1) if k else 0}


def test_twins_are_items_that_a_view_shows_alike():
    items = {
        "item/page": ragged([[0], [1], [2], [3]]),
        "item/topic": ragged([[1], [1], [2], []]),
        "item/words": ragged([[5, 6], [6, 5], [5], [5, 6, 6]]),
        "item/size": ragged([[1.0], [2.0], [1.0], [1.0]], tf.float32),
    }
    prints = fingerprints_by_feature(items, FEATURES)
    first = tf.tile([[False, True, True, False]], [4, 1])  # topic and words: 0 and 1 alike, in any order
    second = tf.tile([[False, False, False, True]], [4, 1])  # size: 0, 2 and 3 alike
    found = twins(shown_fingerprints(prints, Views(items, items, first, second))).numpy()
    expected = np.eye(4, dtype=bool)
    for a, b in [(0, 1), (0, 2), (0, 3), (2, 3)]:
        expected[a, b] = expected[b, a] = True
    np.testing.assert_array_equal(found, expected)


def test_fingerprints_tell_features_and_missing_values_apart():
    values = {f.key: ragged([[1], []]) for f in FEATURES[:3]} | {"item/size": ragged([[1.0], []], tf.float32)}
    assert len(set(fingerprints_by_feature(values, FEATURES).numpy().ravel().tolist()) - {0}) == 4


def test_fingerprints_tell_hundreds_of_features_apart():
    page = {"item/page": ragged([[1]])}
    found = {int(fingerprints(page, [(number, FEATURES[0])])[0]) for number in (0, 1, 255, 256, 512)}
    assert len(found) == 5
