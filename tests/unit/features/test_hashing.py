"""The hashes on which splits, shards and permutations stand: a change of theirs changes every dataset."""

import numpy as np
import pyarrow as pa
import pytest
import xxhash

from features.hashing import as_fraction, hash_pairs, hash_texts, mix
from features.shards import shard_of, take_apart

TEXTS = ["", "a", "Zebra", "é", "a" * 1000]


def test_texts_are_hashed_by_xxh3_under_the_seed():
    expected = [xxhash.xxh3_64_intdigest(text.encode(), 7) for text in TEXTS]
    assert hash_texts(pa.array(TEXTS), 7).tolist() == expected
    assert hash_texts(pa.array([], pa.string()), 7).tolist() == []


@pytest.mark.parametrize("distinct", [1, 3, 20_000])
def test_repeated_texts_have_their_hash_at_each_place(distinct):
    texts = [f"text {n * n % distinct}" for n in range(20_000)]
    assert hash_texts(pa.array(texts), 7).tolist() == [xxhash.xxh3_64_intdigest(text.encode(), 7) for text in texts]
    assert hash_texts(pa.array(texts).slice(9_000), 7).tolist() == hash_texts(pa.array(texts), 7)[9_000:].tolist()


def test_the_hashes_are_those_of_every_dataset_built_so_far():
    assert hash_texts(pa.array(["", "a", "Zebra"]), 0).tolist() == [
        3244421341483603138,
        16629034431890738719,
        6521265325522089353,
    ]
    assert hash_pairs(pa.array(["q", "i"]), pa.array(["i", "q"]), seed=0).tolist() == [
        12536212948647621391,
        12962595617321866666,
    ]
    assert shard_of(pa.array([f"id{n}" for n in range(8)]), 5).tolist() == [0, 2, 0, 4, 2, 1, 3, 1]


def test_mixing_is_splitmix64_of_the_golden_ratio_times_the_first_plus_the_second():
    def by_hand(first, second):
        z = (first * 0x9E3779B97F4A7C15 + second) % 2**64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    first = np.array([0, 1, 2**64 - 1, 12345], np.uint64)
    second = np.array([0, 2**63, 7, 2**64 - 1], np.uint64)
    assert mix(first, second).tolist() == [by_hand(int(a), int(b)) for a, b in zip(first, second, strict=True)]


def test_the_order_of_a_pair_and_the_seed_matter():
    q, i = pa.array(["q"]), pa.array(["i"])
    assert len({int(h[0]) for h in (hash_pairs(q, i, seed=0), hash_pairs(i, q, seed=0), hash_pairs(q, i, seed=1))}) == 3
    # Where query and item are the same page, the halves' hashes must not cancel out.
    same = pa.array([f"p{n}" for n in range(100)])
    assert len(set(hash_pairs(same, same, seed=0).tolist())) == 100


def test_fractions_are_exact_and_below_one():
    hashes = np.array([0, 2**63, 2**64 - 1, 2**11 - 1], np.uint64)
    assert as_fraction(hashes).tolist() == [0.0, 0.5, 1 - 2.0**-53, 0.0]


@pytest.mark.parametrize("shards", [1, 3, 8])
def test_shards_are_even_and_splitting_keeps_every_row_once_and_in_order(shards):
    rows = pa.table({"id": [f"id{n % 3000}" for n in range(6000)], "n": range(6000)})
    parts = take_apart(rows, shard_of(rows["id"].combine_chunks(), shards))
    assert [shard for shard, _ in parts] == list(range(shards))
    assert sorted(n for _, part in parts for n in part.column("n").to_pylist()) == list(range(6000))
    for shard, part in parts:
        assert set(shard_of(part.column("id").combine_chunks(), shards).tolist()) == {shard}
        assert part.column("n").to_pylist() == sorted(part.column("n").to_pylist())
        assert abs(part.num_rows - 6000 / shards) < 0.15 * 6000 / shards


def test_no_rows_split_into_no_shards():
    ids = pa.array([], pa.string())
    assert take_apart(pa.table({"id": ids}), shard_of(ids, 4)) == []
