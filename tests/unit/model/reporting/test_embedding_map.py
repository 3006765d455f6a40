import base64
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.figure import Figure

from features.dataset import Dataset, EncodedFeature
from model.reporting import embedding_map
from model.reporting.embedding_map import _draw_numbers, _draw_values, _first_values, draw_map, place_items


def texts(picture: str) -> list[str]:
    return re.findall("<text[^>]*>([^<]*)</text>", base64.b64decode(picture.partition(",")[2]).decode())


def test_neighbours_stay_neighbours() -> None:
    # Two bundles of 20 nearly parallel embeddings each, at right angles.
    draws = np.random.default_rng(0)
    embeddings = np.repeat(np.eye(2, 8, dtype=np.float32), 20, axis=0) + draws.normal(0, 0.01, (40, 8))
    places = place_items(embeddings.astype(np.float32))
    distances = np.linalg.norm(places[:, None] - places[None], axis=2) + np.diag(np.full(40, np.inf))
    bundle = np.arange(40) // 20
    assert (bundle[distances.argmin(axis=1)] == bundle).all()


def test_how_long_embeddings_are_says_nothing() -> None:
    # Of each length one of either bundle, 10 degrees apart: nearer to each other than to any of their own bundle.
    draws = np.random.default_rng(0)
    angles = np.repeat([0.0, 0.17], 20) + draws.normal(0, 0.001, 40)
    lengths = np.tile(2.0 ** np.arange(20), 2)
    places = place_items((lengths * [np.cos(angles), np.sin(angles)]).T.astype(np.float32))
    distances = np.linalg.norm(places[:, None] - places[None], axis=2) + np.diag(np.full(40, np.inf))
    bundle = np.arange(40) // 20
    assert (bundle[distances.argmin(axis=1)] == bundle).all()


def test_a_map_for_each_feature_that_has_colours(tiny_dataset: Dataset) -> None:
    ids = [f"item-{i:03d}".encode() for i in range(60)]
    embeddings = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    found = draw_map(tiny_dataset, ids=ids, train_count=np.arange(60), embeddings=embeddings)
    assert found.items == 60
    assert sorted(found.pictures) == ["size", "topic", "training examples"]


def test_items_are_coloured_by_what_is_known_of_them(tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    for name in ("_draw_numbers", "_draw_values"):
        monkeypatch.setattr(embedding_map, name, lambda *arguments, **_: drawn.append(arguments) or "")
    monkeypatch.setattr(embedding_map, "place_items", lambda embeddings: embeddings)
    monkeypatch.setattr(embedding_map, "MOST_ITEMS", 20)
    ids = [f"item-{i:03d}".encode() for i in reversed(range(60))]
    numbers = np.arange(60)[::-1]
    embeddings = np.repeat(numbers[:, np.newaxis], 2, axis=1).astype(np.float32)
    found = draw_map(tiny_dataset, ids=ids, train_count=numbers * 10, embeddings=embeddings)
    assert (found.items, list(found.pictures)) == (20, ["training examples", "size", "topic"])
    places = [int(place) for place in drawn[0][0][:, 0]]
    assert len(set(places)) == 20
    (table,) = tiny_dataset.entities("items")
    raw = table.to_pylist()
    (_, counts), (_, sizes), (_, topics) = drawn
    assert counts.tolist() == [place * 10 for place in places]
    assert topics == [raw[place]["feature/topic"] for place in places]
    wanted = [raw[place]["feature/size"] for place in places]
    np.testing.assert_array_equal(sizes, [np.nan if size is None else size for size in wanted])


def test_the_nine_commonest_values_have_colours() -> None:
    long = "x" * 29
    values = [None, "rare", "b", "b", "_a", "_a", *"cdefgh" * 2, *[" so  " + "y" * 25] * 2, *[long] * 3, "rarer"]
    labels = texts(_draw_values(np.zeros((len(values), 2), np.float32), values))
    # Ten of them are there twice or more: the last by name goes without.
    common = ["x" * 27 + "\u2026", "so " + "y" * 25, "\u200b_a", *"bcdefg"]
    assert labels == ["(none)", "(other)", *common]


def test_a_value_of_spaces_alone_stands_in_the_legend() -> None:
    assert texts(_draw_values(np.zeros((4, 2), np.float32), ["a", "a", " ", " "])) == ["\u200b", "a"]


def test_of_lists_the_first_value_counts() -> None:
    column = pa.chunked_array([[["a", "b"], [], None]], pa.list_(pa.string()))
    assert _first_values(column) == ["a", None, None]
    assert _first_values(pa.chunked_array([["a", None]], pa.string())) == ["a", None]


def test_an_outlier_leaves_the_scale_to_the_others() -> None:
    numbers = np.array([-1e6, *range(100), 1e6, np.nan])
    picture = _draw_numbers(np.zeros((len(numbers), 2), np.float32), numbers, log=False)
    assert texts(picture) == ["20", "40", "60", "80"]


def test_every_item_is_drawn_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    places = np.array([[0, 1], [2, 3], [4, 5], [6, 7]], np.float32)
    axes: Any = None

    def draw_figure(draw: Any, **_: Any) -> str:
        nonlocal axes
        axes = Figure().add_subplot()
        draw(axes)
        return ""

    monkeypatch.setattr(embedding_map, "draw_figure", draw_figure)
    _draw_numbers(places, np.array([1, np.nan, np.inf, 2]), log=False)
    assert [points.get_offsets().tolist() for points in axes.collections] == [[[2, 3], [4, 5]], [[0, 1], [6, 7]]]
    assert axes.get_aspect() == 1
    _draw_values(places, ["a", None, "a", "b"])
    assert [points.get_offsets().tolist() for points in axes.collections] == [[[2, 3]], [[0, 1], [4, 5]], [[6, 7]]]
    assert axes.get_aspect() == 1


def test_the_scale_of_counts_is_logarithmic_and_of_one_number_begins_there() -> None:
    places = np.zeros((3, 2), np.float32)
    assert texts(_draw_numbers(places, np.array([0.0, 10, 1000]), log=True)) == ["0", "1", "10", "100", "1,000"]
    assert texts(_draw_numbers(places, np.array([3.0, 3, 3]), log=False)) == ["3", "3.2", "3.4", "3.6", "3.8", "4"]


def test_five_items_are_the_fewest_and_two_dimensions() -> None:
    kinds: dict[str, Any] = {"tags": "multivalued", "name": "text", "image": "vector"}
    rows = pa.table({"feature/tags": pa.array([["a", "b"], [], ["a"], None, ["b"]], pa.list_(pa.string()))})
    dataset: Any = SimpleNamespace(
        features=lambda _: [EncodedFeature(f"item/{name}", name, kind, name, 3) for name, kind in kinds.items()],
        entity_rows=lambda *_, columns, **__: rows.select(columns),
    )
    for items, width, drawn in ((4, 4, 0), (5, 1, 0), (5, 2, 5)):
        embeddings = np.eye(5, width, dtype=np.float32)[:items] + 1
        found = draw_map(dataset, ids=[b"x"] * items, train_count=np.arange(items), embeddings=embeddings)
        assert (found.items, list(found.pictures)) == (drawn, ["training examples", "tags"] if drawn else [])
    assert texts(found.pictures["tags"]) == ["(none)", "a", "b"]


def test_items_in_one_place_make_no_map(tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_map, "place_items", lambda _: pytest.fail("t-SNE may end the process"))
    ids = [f"item-{i:03d}".encode() for i in range(60)]
    embeddings = np.full((60, 8), 0.25, np.float32)
    found = draw_map(tiny_dataset, ids=ids, train_count=np.arange(60), embeddings=embeddings)
    assert (found.items, found.pictures) == (0, {})
