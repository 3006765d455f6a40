"""Lines to pairs, against a plain loop over the lines; and no order or grouping of the lines matters."""

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from small_specs import small_spec

from features.hashing import as_fraction, hash_pairs
from features.interactions import LINES, REJECTS
from features.pairs import GROUPED_LINES, PAIRS, Kept, group_lines, one_by_one, pair_counts
from features.shards import scatter_pairs, take_apart
from features.spec.split import Split
from features.split import TimeBounds, split_of_lines
from pipelines.aggregation.merging import cap_shard, count_by_split, merge_shard, to_cap
from pipelines.aggregation.packing import unpack

EPOCH = datetime(1970, 1, 1)
DAYS = TimeBounds(10_000_000, 20_000_000)

line = st.tuples(
    st.sampled_from(["q1", "q2"]),
    st.sampled_from(["i1", "i2", "i3", "i4", "i5", "unknown"]),
    st.sampled_from(["view", "buy", None]),
    st.sampled_from([0, 9, 10, 11, 19, 20, 21]),
)
logs = st.lists(line, max_size=40)
splits = st.builds(
    lambda how, **keys: Split(**how, **keys),
    how=st.sampled_from(
        [{"method": "pair_hash", "validation": 0.3, "test": 0.3}, {"method": "time", "validation_seconds": 1}]
    ),
    seed=st.integers(0, 3),
    train_fraction=st.sampled_from([1.0, 0.5]),
    max_train_pairs_per_query=st.sampled_from([None, 1, 2]),
    cold_items=st.sampled_from([0.0, 0.5]),
    repeat_consumption=st.booleans(),
)


def table(log, *, timed=True):
    rows = [
        {
            "query_id": q,
            "item_id": i,
            "event": e,
            "timestamp": EPOCH + timedelta(seconds=t) if timed else None,
            "place": place,
        }
        for place, (q, i, e, t) in enumerate(log)
    ]
    return one_by_one(pa.Table.from_pylist(rows, schema=LINES))


def merge(lines, split, drop_duplicates, shards=3):
    """The whole way from grouped lines to pairs, as the jobs take it: shard by shard of (query, item), then the cap."""
    log = {"drop_duplicates": drop_duplicates} | ({"timestamp": "t"} if split.method == "time" else {})
    spec = small_spec(log=log, split=split.model_dump())
    bounds = DAYS if split.method == "time" else None
    counts, rejected, pairs = Counter(), [], [PAIRS.empty_table()]
    ids = [lines.column(name).combine_chunks() for name in ("query_id", "item_id")]
    for _, part in take_apart(lines, scatter_pairs(*ids, shards=shards)):
        known = pc.is_in(part.column("item_id"), pa.array(["i1", "i2", "i3", "i4", "i5", "i6"]))
        merged = merge_shard(part, spec, bounds=bounds, known=known)
        counts.update(merged.counts)
        rejected.append(merged.rejected)
        pairs.append(merged.pairs)
    training, others = to_cap(pa.concat_tables(pairs), 2)
    pairs = [others]
    for _, packed in training:
        capped, over = cap_shard(unpack(packed), spec)
        counts.update(over)
        pairs.append(capped)
    pairs = pa.concat_tables(pairs)
    counts.update(count_by_split(pairs))
    filtered = Counter(
        {name.removeprefix("filtered/"): n for name, n in counts.items() if name.startswith("filtered/")}
    )
    return Kept(pairs, +filtered), pa.concat_tables([REJECTS.empty_table(), *rejected])


def fraction(pair, seed):
    return float(as_fraction(hash_pairs(pa.array([pair[0]]), pa.array([pair[1]]), seed=seed))[0])


def tie(pair, seed):
    return int(hash_pairs(pa.array([pair[0]]), pa.array([pair[1]]), seed=seed)[0])


def by_hand(log, split, drop_duplicates):
    """Pairs, rejected rows and filtered lines, a line at a time."""
    filtered, rejected, seen = Counter(), {}, set()
    times = defaultdict(list)
    for place, (q, i, e, t) in enumerate(log):
        if i == "unknown":
            lines, first = rejected.get((q, i), (0, place))
            rejected[q, i] = (lines + 1, first)
            continue
        if drop_duplicates and (q, i, e, t) in seen:
            filtered["duplicate"] += 1
            continue
        seen.add((q, i, e, t))
        if split.method == "time":
            code = 2 if t >= 20 else 1 if t >= 10 else 0
        else:
            drawn = fraction((q, i), split.seed)
            code = 2 if drawn < 0.3 else 1 if drawn < 0.6 else 0
        times[q, i, code].append(t)
    if not split.repeat_consumption:
        for q, i, code in sorted(times, reverse=True):
            if any((q, i, earlier) in times for earlier in range(code)):
                filtered["pair_of_earlier_split"] += len(times.pop((q, i, code)))
    for q, i, code in sorted(times):
        if code == 0 and xxhash.xxh3_64_intdigest(i.encode(), split.seed ^ 0xC01D) / 2**64 < split.cold_items:
            filtered["cold_item"] += len(times.pop((q, i, code)))
    if split.max_train_pairs_per_query is not None:
        for query in ("q1", "q2"):
            mine = [(q, i) for q, i, code in times if q == query and code == 0]
            mine.sort(key=lambda pair: (-max(times[*pair, 0]), tie(pair, split.seed ^ 0xCA9)))
            for pair in mine[split.max_train_pairs_per_query :]:
                filtered["over_cap"] += len(times.pop((*pair, 0)))
    pairs = {}
    for (q, i, code), at in times.items():
        thinned = code == 0 and split.train_fraction < 1 and fraction((q, i), split.seed ^ 0x7417) >= 0.5
        filtered["thinned"] += len(at) if thinned else 0
        pairs[q, i, code] = (len(at), min(at), max(at), thinned)
    return pairs, rejected, +filtered


def seconds(time):
    return None if time is None else round((time - EPOCH).total_seconds())


def pairs_of(merged):
    return {
        (p["query_id"], p["item_id"], p["split"]): (p["count"], seconds(p["first"]), seconds(p["last"]), p["thinned"])
        for p in merged.rows.to_pylist()
    }


@settings(max_examples=200)
@given(logs, splits, st.booleans(), st.sampled_from([1, 2, 5]))
def test_pairs_are_those_of_a_plain_loop(log, split, drop_duplicates, shards):
    merged, refused = merge(group_lines(table(log)), split, drop_duplicates, shards)
    pairs, rejected, filtered = by_hand(log, split, drop_duplicates)
    assert merged.rows.schema == PAIRS
    assert merged.rows.num_rows == len(pairs)
    assert pairs_of(merged) == pairs
    assert merged.filtered == filtered
    found = {
        (*row["content"].decode().split("\t"), row["reason"]): (row["lines"], row["place"])
        for row in refused.to_pylist()
    }
    assert found == {(*pair, "unknown_item"): what for pair, what in rejected.items()}
    kept = sum(p["count"] for p in merged.rows.to_pylist() if not p["thinned"])
    assert len(log) == kept + merged.filtered.total() + sum(refused.column("lines").to_pylist())


@given(logs, splits, st.booleans(), st.randoms(use_true_random=False), st.integers(1, 4))
def test_neither_the_order_of_the_lines_nor_how_they_are_grouped_before_matters(log, split, drop, random, parts):
    lines = table(log)
    order = list(range(len(log)))
    random.shuffle(order)
    shuffled = lines.take(pa.array(order, pa.int64()))
    cuts = [n * len(log) // parts for n in range(parts + 1)]
    grouped = pa.concat_tables([group_lines(shuffled.slice(a, b - a)) for a, b in pairwise(cuts)])
    assert grouped.schema == GROUPED_LINES
    (one, refused), (other, others) = merge(group_lines(lines), split, drop), merge(grouped, split, drop)
    keys = [("query_id", "ascending"), ("item_id", "ascending"), ("split", "ascending")]
    assert one.rows.sort_by(keys).equals(other.rows.sort_by(keys))
    assert refused.sort_by("place").equals(others.sort_by("place"))
    assert one.filtered == other.filtered


@given(logs, splits)
def test_validation_and_test_do_not_change_with_what_thins_training(log, split):
    def later(s):
        return {key: what for key, what in pairs_of(merge(group_lines(table(log)), s, True)[0]).items() if key[2] > 0}

    whole = {"train_fraction": 1.0, "max_train_pairs_per_query": None, "cold_items": 0.0}
    assert later(split) == later(split.model_copy(update=whole))


@given(logs, st.booleans())
def test_a_log_without_times_splits_by_hash(log, drop_duplicates):
    split = Split(validation=0.3, test=0.3, max_train_pairs_per_query=1)
    merged, _ = merge(group_lines(table(log, timed=False)), split, drop_duplicates)
    assert {p["first"] for p in merged.rows.to_pylist()} <= {None}
    train = Counter(p["query_id"] for p in merged.rows.to_pylist() if p["split"] == 0)
    assert max(train.values(), default=0) <= 1
    assert merged.rows.column("split").to_pylist() == split_of_lines(merged.rows, split, bounds=None).tolist()


@given(logs, splits, st.sampled_from(["query_id", "item_id"]))
def test_pair_counts_count_the_pairs_of_each_id(log, split, by):
    pairs = merge(group_lines(table(log)), split, True)[0].rows
    kept, full, examples = Counter(), Counter(), Counter()
    for p in pairs.to_pylist():
        kept[p[by]] += p["split"] == 0 and not p["thinned"]
        full[p[by]] += p["split"] == 0
        examples[p[by]] += not p["thinned"]
    found = {row.pop(by): tuple(row.values()) for row in pair_counts(pairs, by).to_pylist()}
    assert found == {key: (kept[key], full[key], examples[key]) for key in full}
