import base64
import re

import numpy as np
import pytest

from model.ranking.metrics import RankedSplit
from model.reporting.deciles import draw_deciles, popularity_deciles, recall_by_decile


def test_tenths_of_the_items_that_were_seen() -> None:
    # Item i was seen i times, so 0 never; 20 items were seen, two to a tenth.
    deciles = popularity_deciles(np.arange(21))
    assert list(deciles) == ["cold", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]
    assert np.flatnonzero(deciles["cold"]).tolist() == [0]
    assert np.flatnonzero(deciles["1"]).tolist() == [1, 2]
    assert np.flatnonzero(deciles["10"]).tolist() == [19, 20]


def test_of_items_seen_equally_often_the_first_is_the_more_popular() -> None:
    # So many that an unstable sort would mix them.
    deciles = popularity_deciles(np.tile([3, 4], 50))
    assert np.flatnonzero(deciles["10"]).tolist() == [*range(1, 20, 2)]
    assert np.flatnonzero(deciles["1"]).tolist() == [*range(80, 100, 2)]


@pytest.mark.parametrize("items", [0, 1, 7, 10, 23])
def test_each_item_is_in_one(items: int) -> None:
    deciles = popularity_deciles(np.arange(items) % 5)
    assert np.sum(list(deciles.values()), axis=0).tolist() == [1] * items


def test_recall_by_decile() -> None:
    ranked = RankedSplit(np.array([0, 0, 1]), np.array([20, 19, 1]), np.array([10.0, 11.0, 1.0]))
    found = recall_by_decile(ranked, popularity_deciles(np.arange(21)))
    # Of the two pairs of the top tenth one is at rank 10, the other at 11.
    assert found["10"] == 0.5
    assert found["1"] == 1.0
    assert found["5"] is None


def test_a_ranking_s_line_goes_through_the_tenths_that_have_a_pair() -> None:
    picture = draw_deciles({"plain": {"cold": None, "1": 0.1, "2": 0.3, "3": 0.2}, "_old/model": {"1": None}})
    svg = base64.b64decode(picture.partition(",")[2]).decode()
    (line,) = re.findall(r'<path d="M ([^"]*)" clip-path="[^"]*" style="[^"]*stroke-width: 1.5', svg)
    across, down = np.array(line.replace("L", "").split(), float).reshape(-1, 2).T
    np.testing.assert_allclose((across - across[0]) / (across[2] - across[0]), [0, 0.5, 1], atol=1e-4)
    np.testing.assert_allclose((down[0] - down) / (down[0] - down[1]), [0, 1, 0.5], atol=1e-4)
    assert down[1] < down[0]
    named = {"1", "2", "3", "plain", "items, from those without a training pair to the most popular tenth", "Recall@10"}
    assert named | {"\u200b_old/model", "0.00"} <= set(re.findall(r">([^<>]+)</text>", svg))  # from 0 on
