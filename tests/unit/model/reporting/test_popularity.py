import base64

import numpy as np

from model.reporting.popularity import draw_popularity, popularity_curve, share_of_most_frequent

# Ranks 1..6: 9, 4, 4, 4, 1, 1; one item was never seen.
COUNTS = np.array([4, 1, 0, 9, 4, 1, 4])


def test_the_curve_keeps_both_ends_of_each_step() -> None:
    ranks, counts = popularity_curve(COUNTS)
    assert ranks.tolist() == [1, 2, 4, 5, 6]
    assert counts.tolist() == [9, 4, 4, 1, 1]
    assert [part.tolist() for part in popularity_curve(np.array([5, 1, 5, 5]))] == [[1, 3, 4], [5, 5, 1]]


def test_without_an_example_there_is_no_curve() -> None:
    assert [len(part) for part in popularity_curve(np.array([0, 0]))] == [0, 0]
    assert share_of_most_frequent(np.array([0, 0])) == 0


def test_the_share_of_the_most_frequent_tenth() -> None:
    assert share_of_most_frequent(COUNTS) == 9 / 23  # one of seven items
    assert share_of_most_frequent(np.array([5, 3, *[1] * 9])) == 8 / 17  # two of eleven


def test_the_axes_say_plain_numbers() -> None:
    svg = base64.b64decode(draw_popularity(np.arange(1, 5000)).partition(",")[2]).decode()
    for text in ("1", "10", "100", "1,000", "rank of the item", "training examples with the item"):
        assert f">{text}</text>" in svg
    assert "mathdefault" not in svg
