"""Mask groups, and the file of what was measured."""

import json
import math
from itertools import combinations

import pyarrow as pa
import pytest

from features.count_histograms import HISTOGRAM
from features.mutual_information import (
    FeatureInformation,
    FeaturePair,
    from_histograms,
    from_json,
    mask_groups,
    to_json,
)


def pairs_of(values):
    names = sorted({name for pair in values for name in pair})
    return FeatureInformation(
        1, dict.fromkeys(names, 1.0), [FeaturePair(a, b, mi, mi, 0.0) for (a, b), mi in values.items()]
    )


FOUR = pairs_of({("a", "b"): 0.1, ("a", "c"): 0.5, ("a", "d"): 0.5, ("b", "c"): 0.2, ("b", "d"): 0.3, ("c", "d"): 0.0})


def test_a_seed_masks_itself_and_half_the_features_ties_by_name():
    assert mask_groups(FOUR, ["a", "b", "c", "d"]) == {
        "a": ["a", "c", "d"],
        "b": ["b", "d", "c"],
        "c": ["c", "a", "b"],
        "d": ["d", "a", "b"],
    }


def test_of_three_features_a_seed_masks_one_other_and_of_two_none():
    assert mask_groups(FOUR, ["d", "a", "c"]) == {"d": ["d", "a"], "a": ["a", "c"], "c": ["c", "a"]}
    assert mask_groups(FOUR, ["a", "b"]) == {"a": ["a"], "b": ["b"]}
    assert mask_groups(FOUR, ["a"]) == {"a": ["a"]}


def test_of_five_features_a_seed_masks_two_others():
    five = pairs_of({pair: float(n) for n, pair in enumerate(combinations("abcde", 2))})
    assert mask_groups(five, list("abcde"))["e"] == ["e", "d", "c"]
    assert {len(group) for group in mask_groups(five, list("abcde")).values()} == {3}


def test_differences_in_the_last_bits_are_ties():
    nearly = pairs_of({("a", "b"): 0.5, ("a", "c"): 0.5 + 1e-14, ("b", "c"): 0.1})
    assert mask_groups(nearly, ["a", "b", "c"])["a"] == ["a", "b"]


def test_the_file_says_what_was_measured_and_how_with_its_keys_in_order():
    found = FeatureInformation(7, {"b": 1.5 + 1e-14, "a": 0.25}, [FeaturePair("b", "a", 0.125, 0.5, 0.0625 + 1e-14)])
    content = to_json(found, weighting="uniform", seed=3, numeric_buckets=10)
    assert json.loads(content) == {
        "features": ["b", "a"],
        "unit": "nats",
        "weighting": "uniform",
        "seed": 3,
        "numeric_buckets": 10,
        "rows": 7,
        "entropies": {"a": 0.25, "b": 1.5},
        "mutual_information": [[None, 0.125], [0.125, None]],
        "normalized": [[None, 0.5], [0.5, None]],
        "chance": [[None, 0.0625], [0.0625, None]],
        "mask_groups": {"a": ["a"], "b": ["b"]},
    }
    assert content == (json.dumps(json.loads(content), indent=1, sort_keys=True) + "\n").encode()


def test_json_is_read_back_and_written_again_the_same():
    pairs = [
        ("page", "color", math.log(3), 1.0, 1 / 3),
        ("page", "tags", 2 / 3, 1.0, 0.1),
        ("color", "tags", 0.3, 0.45, 0),
    ]
    entropies = {"page": math.log(50), "color": math.log(3), "tags": 2 / 3}
    found = FeatureInformation(50, entropies, [FeaturePair(*pair) for pair in pairs])
    content = to_json(found, weighting="uniform", seed=0, numeric_buckets=10)
    again = from_json(content)
    assert to_json(again, weighting="uniform", seed=0, numeric_buckets=10) == content
    assert list(again.entropies) == ["page", "color", "tags"]
    assert again.entropies == pytest.approx(entropies, abs=1e-12)
    for (*names, information, normalized, chance), pair in zip(pairs, again.pairs, strict=True):
        assert [pair.first, pair.second] == names
        assert (pair.mutual_information, pair.normalized) == pytest.approx((information, normalized), abs=1e-12)
        assert pair.chance == pytest.approx(chance, abs=1e-12)
    assert mask_groups(again, list(entropies)) == mask_groups(found, list(entropies))


def test_what_is_no_such_json_is_refused():
    with pytest.raises(ValueError, match="Expecting"):
        from_json(b"{")
    with pytest.raises(KeyError, match=r"^'features'$"):
        from_json(b"{}")
    with pytest.raises(KeyError, match=r"^'entropies'$"):
        from_json(b'{"features": ["page"], "rows": 1}')


def test_rounding_alone_makes_nothing_negative_and_no_row_less():
    # 6 rows that are equal, and 2 values by 3 that are independent: floats leave -2e-16, which would be shown as -0.0.
    six = pa.table([[0, 1], [6.0, 6.0], [1, 1]], schema=HISTOGRAM)
    assert json.dumps(from_histograms(six, ["a"]).entropies) == '{"a": 0.0}'
    counts, keys = [3.0, 2.0, 3.0, 2.0, 1.0, 1.0], [2, 3, 2, 3, 6, 6]
    (pair,) = from_histograms(pa.table([range(6), counts, keys], schema=HISTOGRAM), ["a", "b"]).pairs
    assert json.dumps([pair.mutual_information, pair.normalized, pair.chance]) == "[0.0, 0.0, 0.0]"
    # A row of 49 values: 49 times the float that is nearest to 1/49 is less than 1.
    one = pa.table([[0, 1], [1 / 49, 1 / 49], [49, 49]], schema=HISTOGRAM)
    assert from_histograms(one, ["tags"]).rows == 1
