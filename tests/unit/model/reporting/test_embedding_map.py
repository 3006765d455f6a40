import numpy as np

from features.dataset import Dataset
from model.reporting.embedding_map import draw_map, place_items


def test_neighbours_stay_neighbours() -> None:
    # Two bundles of 20 nearly parallel embeddings each, at right angles.
    draws = np.random.default_rng(0)
    embeddings = np.repeat(np.eye(2, 8, dtype=np.float32), 20, axis=0) + draws.normal(0, 0.01, (40, 8))
    places = place_items(embeddings.astype(np.float32))
    distances = np.linalg.norm(places[:, None] - places[None], axis=2) + np.diag(np.full(40, np.inf))
    bundle = np.arange(40) // 20
    assert (bundle[distances.argmin(axis=1)] == bundle).all()


def test_a_map_for_each_feature_that_has_colours(tiny_dataset: Dataset) -> None:
    ids = [f"item-{i:03d}".encode() for i in range(60)]
    embeddings = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    found = draw_map(tiny_dataset, ids=ids, train_count=np.arange(60), embeddings=embeddings)
    assert found.items == 60
    assert sorted(found.pictures) == ["size", "topic", "training examples"]


def test_a_few_items_make_no_map(tiny_dataset: Dataset) -> None:
    found = draw_map(
        tiny_dataset, ids=[b"item-000"] * 4, train_count=np.arange(4), embeddings=np.eye(4, dtype=np.float32)
    )
    assert found.pictures == {}
