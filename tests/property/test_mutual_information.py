"""Laws of mutual information, and scikit-learn's value of it."""

import math

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from features.count_histograms import histogram
from features.item_values import hash_items
from features.joint_counts import count_values
from features.mutual_information import from_histograms, mask_groups
from features.spec.features import Side

NAMES = ["a", "b", "c", "d"]
value = st.sampled_from(["x", "y", "z", "é", None])
single = st.lists(st.tuples(value, value, value, value, st.integers(0, 4)), min_size=1, max_size=40)
several = st.lists(
    st.tuples(*[st.lists(st.sampled_from("xyz"), max_size=3)] * 4, st.integers(1, 4)), min_size=1, max_size=15
)


def information(rows, names=NAMES, *, kind, weighting="uniform", seed=0):
    side = Side.model_validate({"features": {name: {"kind": kind} for name in names}})
    of_kind = pa.string() if kind == "categorical" else pa.list_(pa.string())
    columns = {f"feature/{name}": pa.array([row[NAMES.index(name)] for row in rows], of_kind) for name in names}
    entities = pa.table({"id": [f"p{n}" for n in range(len(rows))], "train_count": [row[4] for row in rows], **columns})
    return counted(entities, side, weighting=weighting, seed=seed)


def counted(entities, side, *, weighting, seed):
    block = hash_items(entities, side, weighting=weighting, seed=seed)
    (found,) = count_values([block], side, bounds={}, shards=3)
    histograms = [histogram([part]) for part in found.by_shard.values()]
    return from_histograms(pa.concat_tables([found.complete, *histograms]), list(side.features))


@given(single, st.sampled_from(["uniform", "train_count"]))
def test_of_single_values_it_is_scikit_learns(rows, weighting):
    found = information(rows, kind="categorical", weighting=weighting)
    counted = [row for row in rows for _ in range(row[4] if weighting == "train_count" else 1)]
    assert found.rows == len(counted)
    for pair in found.pairs:
        first, second = NAMES.index(pair.first), NAMES.index(pair.second)
        columns = [[row[place] or "missing" for row in counted] for place in (first, second)]
        expected = mutual_info_score(*columns) if counted else 0.0
        assert abs(pair.mutual_information - expected) < 1e-9
        own = mutual_info_score(columns[0], columns[0]) if counted else 0.0
        assert abs(found.entropies[pair.first] - own) < 1e-9


@given(several, st.sampled_from(["uniform", "train_count"]))
def test_it_is_symmetric_not_negative_and_at_most_either_entropy(rows, weighting):
    found = information(rows, kind="multivalued", weighting=weighting)
    turned = information(rows, NAMES[::-1], kind="multivalued", weighting=weighting)
    other = {(pair.second, pair.first): pair for pair in turned.pairs}
    for pair in found.pairs:
        assert pair.mutual_information >= 0
        assert pair.chance >= 0
        smaller = min(found.entropies[pair.first], found.entropies[pair.second])
        assert pair.mutual_information <= smaller + 1e-9
        assert pair.normalized <= 1 + 1e-9 or smaller < 1e-6
        assert math.isclose(pair.mutual_information, other[pair.first, pair.second].mutual_information, abs_tol=1e-12)


@given(several, st.randoms(use_true_random=False))
def test_the_order_of_the_items_does_not_matter(rows, random):
    ids = {f"p{n}": row for n, row in enumerate(rows)}
    shuffled = random.sample(sorted(ids), len(ids))
    side = Side.model_validate({"features": {name: {"kind": "multivalued"} for name in NAMES}})

    def found(order):
        columns = {
            f"feature/{name}": pa.array([ids[i][place] for i in order], pa.list_(pa.string()))
            for place, name in enumerate(NAMES)
        }
        entities = pa.table({"id": order, "train_count": [1] * len(order), **columns})
        return counted(entities, side, weighting="uniform", seed=5)

    assert found(shuffled) == found(sorted(ids))


@given(single, st.integers(1, 4))
def test_a_mask_group_holds_its_seed_and_half_the_features_and_never_all(rows, features):
    names = NAMES[:features]
    groups = mask_groups(information(rows, kind="categorical"), names)
    assert list(groups) == names
    for seed, group in groups.items():
        assert group[0] == seed
        assert set(group) <= set(names)
        assert len(group) == len(set(group)) == {1: 1, 2: 1, 3: 2, 4: 3}[features]
