"""Statistics don't depend on how the rows were dealt out, and drift isn't overstated by them."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given
from hypothesis import strategies as st
from small_specs import small_spec

from features.shards import shard_of, take_apart
from features.statistics.counts import (
    FEATURE_COUNTS,
    count_distinct,
    count_entities,
    keep_most_common,
    merge_counts,
    round_numbers,
)
from features.statistics.drift import jensen_shannon
from features.statistics.protos import by_feature, serialize, to_protos
from features.statistics.statistics import describe, described_columns

SPEC = small_spec(item={"tags": "multivalued", "price": "numeric"})
COLUMNS = described_columns(SPEC)
number = st.floats(-3e38, 3e38, allow_subnormal=False) | st.integers(-(2**40), 2**40).map(float)
any_number = st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 1e-310]) | number


def items(price):
    item = st.tuples(st.integers(0, 5), st.lists(st.sampled_from("abcdé"), max_size=4), st.none() | price)
    return st.lists(item, max_size=30)


def table(rows) -> pa.Table:
    return pa.table(
        {
            "train_count": pa.array([row[0] for row in rows], pa.int64()),
            "feature/tags": pa.array([row[1] for row in rows], pa.list_(pa.string())),
            "feature/price": pa.array([row[2] for row in rows], pa.float64()),
        }
    )


def serialized(parts, shards, most=1_000) -> bytes:
    """As the job does it: count parts, shuffle texts, keep the most common of each shard."""
    counts = pa.concat_tables([count_entities(table(rows), "item", side=SPEC.item) for rows in parts])
    is_text = np.array([measure == "text" for measure in counts["measure"].to_pylist()], bool)
    found = [counts.filter(pa.array(~is_text))]
    of_texts = counts.filter(pa.array(is_text))
    for _, texts in take_apart(of_texts, shard_of(of_texts["text"].combine_chunks(), shards)):
        merged = merge_counts(texts)
        found += [keep_most_common(merged, {}, most=most), count_distinct(merged)]
    return serialize(to_protos(describe(pa.concat_tables(found), COLUMNS, known={})))


@given(items(any_number), st.integers(1, 5), st.randoms(use_true_random=False))
def test_any_sharding_gives_the_same_bytes(rows, shards, random) -> None:
    shuffled = random.sample(rows, len(rows))
    parts = [shuffled[start::shards] for start in range(shards)]
    random.shuffle(parts)
    assert serialized(parts, shards) == serialized([rows], 1)


@given(items(any_number), st.integers(1, 6), st.integers(1, 3), st.integers(1, 4))
def test_the_most_common_of_the_most_common_are_those_of_all(rows, shards, parts, most) -> None:
    counts = merge_counts(count_entities(table(rows), "item", side=SPEC.item))
    counts = counts.filter(pc.equal(counts["measure"], "text"))
    known = {"item/tags": frozenset("aé")}
    dealt = [counts.slice(0, 0) for _ in range(parts)]
    for shard, found in take_apart(counts, shard_of(counts["text"].combine_chunks(), shards)):
        kept = keep_most_common(found, known, most=most)
        dealt[shard % parts] = pa.concat_tables([dealt[shard % parts], kept])
    merged = pa.concat_tables([keep_most_common(merge_counts(part), known, most=most) for part in dealt])
    order = [(name, "ascending") for name in FEATURE_COUNTS.names]
    whole = keep_most_common(counts, known, most=most)
    assert keep_most_common(merge_counts(merged), known, most=most).sort_by(order) == whole.sort_by(order)


@given(items(number).filter(bool))
def test_they_are_numpys(rows) -> None:
    found = by_feature(serialized([rows], 3))
    prices = np.array([price for _, _, price in rows if price is not None])
    price = found["item/price"].num_stats
    assert price.common_stats.num_missing == len(rows) - len(prices)
    if len(prices):
        assert (price.min, price.max) == (prices.min(), prices.max())
        scale = np.abs(prices).max()
        assert abs(price.mean - prices.mean()) <= 1e-5 * scale
        assert abs(price.std_dev - prices.std()) <= 1e-5 * scale
        assert price.num_zeros == (prices == 0).sum()
        for histogram in price.histograms:
            assert sum(bucket.sample_count for bucket in histogram.buckets) == len(prices)
    tags = [tag for _, row, _ in rows for tag in row]
    texts = found["item/tags"].string_stats
    assert {top.value: top.frequency for top in texts.top_values} == {tag: tags.count(tag) for tag in set(tags)}
    assert texts.unique == len(set(tags))


@given(st.lists(any_number, min_size=2))
def test_rounding_keeps_the_order_and_is_close(numbers) -> None:
    rising = np.sort(np.array(numbers))
    rounded = round_numbers(rising)
    assert (np.diff(rounded) >= 0).all()
    assert (np.abs(rounded - rising) <= 2.0**-17 * np.abs(rising) + 1e-300).all()  # float64 gives up bits below 1e-307
    assert not np.signbit(rounded[rounded == 0]).any()
    assert (round_numbers(rounded) == rounded).all()


few_numbers = st.lists(st.integers(-2, 4).map(float), min_size=1, max_size=60)


@given(few_numbers, few_numbers)
def test_no_more_drift_is_measured_than_there_is(before, now) -> None:
    of_prices = [column for column in COLUMNS if column.name == "item/price"]
    then, found = (
        describe(count_entities(table([(0, "", one) for one in some]), "item", side=SPEC.item), of_prices, known={})
        for some in (before, now)
    )
    measured = jensen_shannon(found["item/price"], by_feature(serialize(to_protos(then)))["item/price"].num_stats)
    shares = [(before.count(one) / len(before), now.count(one) / len(now)) for one in {*before, *now}]
    exact = sum(p * math.log2(2 * p / (p + q)) for pair in shares for p, q in (pair, pair[::-1]) if p) / 2
    assert measured <= exact + 1e-9
