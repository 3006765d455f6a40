"""Joint counts and what follows from them, by hand."""

import math
from collections import Counter, defaultdict
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from features.count_histograms import histogram
from features.hashing import hash_texts
from features.item_values import Values, hash_items, values_of
from features.joint_counts import count_tables, count_values, estimated_pairs
from features.mutual_information import from_histograms
from features.spec.features import Side
from features.spec.file import load_spec
from features.sums import sum_counts

SIDE_FEATURES = {"page": {"kind": "id"}, "color": {"kind": "categorical"}, "tags": {"kind": "multivalued"}}
SIDE = Side.model_validate({"features": SIDE_FEATURES})


def table(rows):
    """(id, color, tags, train count) each."""
    ids, colors, tags, counts = zip(*rows, strict=True)
    return pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "train_count": pa.array(counts, pa.int64()),
            "feature/color": pa.array(colors, pa.string()),
            "feature/tags": pa.array(tags, pa.list_(pa.string())),
        }
    )


def information(entities, side=SIDE, *, weighting="uniform", bounds=None):
    block = block_of(entities, side, weighting=weighting)
    return from_histograms(histograms([block], side, bounds=bounds), list(side.features))


def block_of(entities, side=SIDE, *, weighting="uniform"):
    return hash_items(entities, side, weighting=weighting, seed=0)


def histograms(blocks, side=SIDE, *, bounds=None):
    return merged(count_values(blocks, side, bounds=bounds or {}, shards=1))


def merged(counted):
    """The histogram of what was counted apart, its shards one by one."""
    counted = list(counted)
    shards = sorted({shard for found in counted for shard in found.by_shard})
    parts = [histogram([found.by_shard[shard] for found in counted if shard in found.by_shard]) for shard in shards]
    together = pa.concat_tables([*parts, *(found.complete for found in counted)])
    return sum_counts(together, "table", "count").sort_by([("table", "ascending"), ("count", "ascending")])


def of(found, first, second):
    return next(p for p in found.pairs if (p.first, p.second) == (first, second))


def test_a_feature_that_copies_another_tells_all_of_it():
    rows = [(f"p{n}", "red" if n < 2 else "blue", ["r"] if n < 2 else ["b"], 1) for n in range(4)]
    found = information(table(rows))
    assert found.rows == 4
    assert found.entropies == pytest.approx({"page": math.log(4), "color": math.log(2), "tags": math.log(2)}, abs=1e-12)
    assert of(found, "color", "tags").mutual_information == pytest.approx(math.log(2), abs=1e-12)
    assert of(found, "color", "tags").normalized == pytest.approx(1, abs=1e-12)
    assert of(found, "page", "color").mutual_information == pytest.approx(math.log(2), abs=1e-12)
    assert of(found, "page", "color").normalized == pytest.approx(1, abs=1e-12)


def test_independent_features_tell_nothing_of_each_other():
    rows = [(f"p{n}", "red" if n % 2 else "blue", ["x"] if n // 2 else ["y"], 1) for n in range(4)]
    pair = of(information(table(rows)), "color", "tags")
    assert pair.mutual_information == pytest.approx(0, abs=1e-12)
    assert pair.normalized == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("colors", [2, 30])
def test_few_values_and_many_are_counted_alike(colors):
    # 60 pages: with 2 colors a pair of features has 120 cells, with 30 it has 1,800, too many to count cell by cell.
    entities = table([(f"p{n}", f"color {n * n % colors}", ["x"], 1) for n in range(60)])
    pair = of(information(entities), "page", "color")
    expected = -sum(c / 60 * math.log(c / 60) for c in Counter(n * n % colors for n in range(60)).values())
    assert pair.mutual_information == pytest.approx(expected, abs=1e-12)


def test_several_values_share_their_rows_weight():
    # red goes with x (1/2) and y (1/2), blue with y (1): cells 1/4, 1/4, 1/2 of the corpus.
    found = information(table([("p", "red", ["x", "y"], 1), ("q", "blue", ["y"], 1)]))
    expected = (
        0.25 * math.log(0.25 / (0.5 * 0.25)) + 0.25 * math.log(0.25 / (0.5 * 0.75)) + 0.5 * math.log(0.5 / (0.5 * 0.75))
    )
    assert of(found, "color", "tags").mutual_information == pytest.approx(expected, abs=1e-12)
    assert found.entropies["tags"] == pytest.approx(-0.25 * math.log(0.25) - 0.75 * math.log(0.75), abs=1e-12)


def test_missing_is_a_value():
    found = information(
        table([("p", None, [], 1), ("q", "blue", ["y"], 1), ("r", None, None, 1), ("s", "blue", ["y"], 1)])
    )
    assert of(found, "color", "tags").mutual_information == pytest.approx(math.log(2), abs=1e-12)


def test_a_constant_feature_has_no_entropy_and_normalizes_to_nothing():
    found = information(table([("p", "red", ["x"], 1), ("q", "red", ["y"], 1)]))
    pair = of(found, "color", "tags")
    assert (found.entropies["color"], pair.mutual_information, pair.normalized) == (0.0, 0.0, 0.0)


def test_weighted_by_train_count_an_item_counts_as_often_as_it_stands_in_training():
    rows = [("p", "red", ["x"], 3), ("q", "blue", ["y"], 1), ("r", "blue", ["y"], 0)]
    found = information(table(rows), weighting="train_count")
    assert found.rows == 4
    entropy = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert found.entropies == pytest.approx({"page": entropy, "color": entropy, "tags": entropy}, abs=1e-12)
    assert of(found, "color", "tags").mutual_information == pytest.approx(entropy, abs=1e-12)
    assert of(found, "color", "tags").normalized == pytest.approx(1, abs=1e-12)
    # By hash they stand as r, p, q: by chance p has the tags of q, and q those of r, so all four are y.
    assert of(found, "color", "tags").chance == pytest.approx(0, abs=1e-12)


def test_of_items_that_stand_in_no_training_pair_nothing_is_known():
    found = information(table([("p", "red", ["x"], 0), ("q", "blue", ["y"], 0)]), weighting="train_count")
    assert (found.rows, found.entropies) == (0, {"page": 0.0, "color": 0.0, "tags": 0.0})
    assert {(p.mutual_information, p.normalized, p.chance) for p in found.pairs} == {(0.0, 0.0, 0.0)}


def by_loop(rows, *, weighting):
    """Mutual information of all pairs, in exact fractions up to the logarithm."""
    values = [
        ([page], [color or "?"], list(tags or []) or ["?"], count if weighting == "train_count" else 1)
        for page, color, tags, count in rows
    ]
    names, found = ["page", "color", "tags"], {}
    for a, b in combinations(range(3), 2):
        joint, first, second, total = defaultdict(Fraction), defaultdict(Fraction), defaultdict(Fraction), Fraction(0)
        for row in values:
            total += row[3]
            for x, y in product(row[a], row[b]):
                share = Fraction(row[3], len(row[a]) * len(row[b]))
                joint[x, y] += share
                first[x] += share
                second[y] += share
        found[names[a], names[b]] = math.fsum(
            float(p / total) * math.log(p * total / (first[x] * second[y])) for (x, y), p in joint.items() if p
        )
    return found


@pytest.mark.parametrize("weighting", ["uniform", "train_count"])
def test_the_whole_equals_a_loop_in_fractions_however_the_corpus_is_cut(weighting):
    draws = np.random.default_rng(1)
    rows = [
        (
            f"p{n}",
            draws.choice(["red", "blue", "green", None]),
            draws.choice(list("abcdef"), size=draws.integers(0, 5)).tolist(),
            int(draws.integers(0, 5)),
        )
        for n in range(300)
    ]
    whole, *parts = [
        block_of(table(rows[cut : cut + size]), weighting=weighting) for cut, size in ((0, 300), (0, 100), (100, 200))
    ]
    one = from_histograms(histograms([whole]), list(SIDE.features))
    together = from_histograms(histograms(parts), list(SIDE.features))
    counted = [found for part in reversed(parts) for found in count_values([part], SIDE, bounds={}, shards=3)]
    apart = from_histograms(merged(counted), list(SIDE.features))
    assert apart == together
    expected = by_loop(rows, weighting=weighting)
    for pair, same in zip(one.pairs, apart.pairs, strict=True):
        assert pair.mutual_information == pytest.approx(expected[pair.first, pair.second], abs=1e-10)
        # Chance is drawn block by block, the rest isn't: equal to the last bit.
        assert pair.mutual_information == same.mutual_information
    assert (one.entropies, one.rows) == (apart.entropies, apart.rows)


@pytest.mark.parametrize("shards", [1, 2, 3, 5])
def test_keys_split_over_shards_give_the_same_as_together(shards):
    rows = [(f"p{n}", "rgb"[n % 3], ["x", "y", "z"][: n % 4], n) for n in range(50)]
    blocks = [block_of(table(part)) for part in (rows[:20], rows[20:])]
    split = [found for block in blocks for found in count_values([block], SIDE, bounds={}, shards=shards)]
    assert list(split[1].by_shard) == list(range(shards))
    assert merged(split).equals(histograms(blocks))


@pytest.mark.parametrize("weighting", ["uniform", "train_count"])
def test_counts_that_come_in_parts_give_the_same_to_the_last_bit(weighting):
    # The heavy row alone has 40 x 40 pairs of tags and words, each of them twice.
    side = Side.model_validate({"features": {**SIDE_FEATURES, "words": {"kind": "multivalued"}}})
    heavy = [f"t{n % 20}" for n in range(40)]
    tags = [heavy, *(["t1", "t2", "t3"][: n % 4] for n in range(1, 30))]
    rows = table([(f"p{n}", "rgb"[n % 3], of_row, n + 1) for n, of_row in enumerate(tags)])
    block = block_of(rows.append_column("feature/words", rows.column("feature/tags")), side, weighting=weighting)
    whole = list(count_values([block], side, bounds={}, shards=2))
    parts = list(count_values([block], side, bounds={}, shards=2, at_once=50))
    assert (len(whole), len(parts) > 3) == (1, True)
    assert max(part.num_rows for found in parts for part in found.by_shard.values()) <= 2 * 50 + 50 + 40
    assert merged(parts).equals(merged(whole))


def test_a_histogram_may_be_made_in_pieces():
    rows = [(f"p{n}", "rgb"[n % 3], ["x", "y", "z"][: n % 4], n) for n in range(50)]
    found = [found.by_shard[0] for found in count_values([block_of(table(rows))], SIDE, bounds={}, shards=1)]
    pieces = histogram(found * 2, at_once=5)
    whole = histogram(found * 2)
    assert pieces.num_rows > whole.num_rows
    by = [("table", "ascending"), ("count", "ascending")]
    assert sum_counts(pieces, "table", "count").sort_by(by).equals(whole.sort_by(by))


def test_of_ids_nothing_is_sent_to_other_blocks():
    # Tables 0 to 2 and 6 to 8 are page, color and tags alone and with each other; each page is in one block.
    (found,) = count_values([block_of(table([("p", "red", ["x", "x", "y"], 1)]))], SIDE, bounds={}, shards=1)
    assert sorted(set(found.by_shard[0].column("table").to_pylist())) == [1, 2, 4, 5, 8, 11]
    told = [tuple(row.values()) for row in found.complete.to_pylist()]
    assert told == [
        (0, 1.0, 1),
        (3, 1.0, 1),
        (6, 1.0, 1),
        (7, 1 / 3, 1),
        (7, 2 / 3, 1),
        (9, 1.0, 1),
        (10, 1 / 3, 1),
        (10, 2 / 3, 1),
    ]


def test_wherever_an_id_stands_among_the_features_its_pairs_stay_and_only_shards_with_counts_are_sent():
    side = Side.model_validate({"features": dict(reversed(SIDE.model_dump(exclude_none=True)["features"].items()))})
    block = block_of(table([("p", "red", ["x", "x", "y"], 1)]), side)
    # Tables 0 to 2 and 6 to 8 are tags, color and page alone and with each other, as they are; then by chance.
    (found,) = count_values([block], side, bounds={}, shards=1)
    assert sorted(set(found.by_shard[0].column("table").to_pylist())) == [0, 1, 3, 4, 6, 9]
    assert sorted(set(found.complete.column("table").to_pylist())) == [2, 5, 7, 8, 10, 11]
    (spread,) = count_values([block], side, bounds={}, shards=1000)
    assert 1 < len(spread.by_shard) <= 5  # x, y and red alone, and two pairs
    assert merged([spread]).equals(merged([found]))


def test_pairs_are_estimated_as_if_all_were_different_as_they_are_and_by_chance():
    # A page and a color with three tags: 1 + 3 + 3 pairs. With none, which is a value too: 3. Each twice.
    rows = [("p", "red", ["x", "x", "y"], 1), ("q", None, [], 1)]
    assert [estimated_pairs(block_of(table(rows), weighting=how)) for how in ("uniform", "train_count")] == [20, 20]
    # 50,000 pairs, twice; the square of 50,000 is beyond 32 bits.
    lists = {"words": {"kind": "text", "column": "color"}, "tags": {"kind": "multivalued"}}
    long = table([("p", "red", ["x"] * 50_000, 1)]).rename_columns({"feature/color": "feature/words"})
    assert estimated_pairs(block_of(long, Side.model_validate({"features": lists}))) == 100_000


def test_counts_are_sent_as_hashes_in_a_dictionary_and_narrow():
    rows = [(f"p{n}", "red" if n < 299 else "blue", ["x"], 1) for n in range(300)]
    (found,) = count_values([block_of(table(rows))], SIDE, bounds={}, shards=1)
    sent = found.by_shard[0]
    assert [str(field.type) for field in sent.schema] == [
        "uint8",
        *["dictionary<values=uint64, indices=uint8, ordered=0>"] * 2,
        "uint8",
        "uint16",
    ]
    color = sent.filter(pc.equal(sent.column("table"), 1))
    assert sorted(color.column("count").to_pylist()) == [1, 299]
    assert set(color.column("first").to_pylist()) == set(hash_texts(pa.array(["red", "blue"]), 0x3A1).tolist())
    assert set(color.column("second").to_pylist()) == {0}


def test_a_key_counted_among_several_sizes_is_summed_as_fractions():
    # Pair (5, 1): 3 times alone, 4 times as one of 2, once as one of 3; (9, 1): twice alone. Once more in other parts.
    part = pa.table(
        {
            "table": np.zeros(4, np.uint8),
            "first": pa.array([5, 5, 5, 9], pa.uint64()).dictionary_encode(),
            "second": pa.array([1, 1, 1, 1], pa.uint64()).dictionary_encode(),
            "size": np.array([1, 2, 3, 1], np.uint8),
            "count": np.array([3, 4, 1, 2], np.uint8),
        }
    )
    found = histogram([part, part.slice(2), part.slice(0, 1)])
    assert [tuple(row.values()) for row in found.to_pylist()] == [(0, 4.0, 1), (0, 6 / 1 + 4 / 2 + 2 / 3, 1)]


def test_by_chance_no_item_keeps_its_own_values():
    draws = np.random.default_rng(0)
    tags = draws.integers(0, 8, 4000)
    rows = [(f"p{n}", f"c{tags[n]}", [f"t{tags[n]}"], 1) for n in range(4000)]
    pair = of(information(table(rows)), "color", "tags")
    assert pair.mutual_information == pytest.approx(math.log(8), abs=0.01)
    # 7 x 7 degrees of freedom over 2 n: what independence leaves in a sample.
    assert pair.chance == pytest.approx(49 / 8000, abs=0.004)
    alone = of(information(table([("p", "red", ["x"], 1), ("q", "blue", ["y"], 1)])), "color", "tags")
    assert alone.chance == pytest.approx(math.log(2), abs=1e-12)


def test_words_numbers_and_vectors_are_classes_too():
    side = Side.model_validate(
        {
            "features": {
                "title": {"kind": "text", "ngrams": [1, 2]},
                "size": {"kind": "numeric"},
                "never": {"kind": "numeric"},
                "look": {"kind": "vector", "size": 2},
            }
        }
    )
    entities = pa.table(
        {
            "id": ["p", "q", "r"],
            "train_count": pa.array([0, 0, 0], pa.int64()),
            "feature/title": ["Red ball", None, "?"],
            "feature/size": [1.0, 5.0, None],
            "feature/never": pa.nulls(3, pa.float64()),
            "feature/look": pa.array([[0.0, 0.0], [0.0, 0.0], None], pa.list_(pa.float32())),
        }
    )
    bounds = {"size": [5.0]}
    hashed = hash_items(entities, side, weighting="uniform", seed=0)
    values = {name: values_of(hashed.column(f"feature/{name}"), bounds.get(name, ())) for name in side.features}
    sizes = {name: found.sizes.tolist() for name, found in values.items()}
    assert sizes == {"title": [3, 1, 1], "size": [1, 1, 1], "never": [1, 1, 1], "look": [1, 1, 1]}
    titles = values["title"].distinct[values["title"].places]
    assert titles[3] == titles[4] == 0
    assert len(values["size"].distinct) == 3
    found = information(entities, side, bounds=bounds)
    assert found.entropies["never"] == 0
    # Two are of class 0; to have none is another.
    assert found.entropies["look"] == pytest.approx(math.log(3) - math.log(2) * 2 / 3, abs=1e-12)
    assert found.entropies["size"] == pytest.approx(math.log(3), abs=1e-12)


def test_the_tables_are_each_feature_and_each_pair_as_it_is_and_by_chance():
    names = [(t.first, t.second, t.chance) for t in count_tables(["a", "b", "c"])]
    assert len(names) == len(set(names)) == 2 * (3 + 3)
    assert names.index(("a", None, False)) == 0


def test_values_are_taken_row_by_row():
    distinct = np.array([10, 20, 30], np.uint64)
    values = Values(distinct, np.array([0, 1, 2, 0], np.int64), np.array([1, 2, 1], np.int64))
    taken = values.take(np.array([2, 1, 1], np.int64))
    assert (taken.places.tolist(), taken.sizes.tolist()) == ([0, 1, 2, 1, 2], [1, 2, 2])
    one_each = Values(distinct, np.array([2, 1, 0], np.int64), np.ones(3, np.int64))
    assert one_each.take(np.array([2, 0, 0], np.int64)).places.tolist() == [0, 2, 2]


def test_the_features_of_a_shipped_spec_are_counted():
    side = load_spec("wikispeedia-links").item
    assert len(count_tables(list(side.features))) == 12
