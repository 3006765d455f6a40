"""Sessions against a plain loop over each user's lines; and the order of the lines doesn't matter."""

from collections import Counter, defaultdict
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from features.hashing import as_fraction, hash_pairs, hash_texts, mix
from features.interactions import LINES
from features.pairs import Kept, cap_pairs, one_by_one
from features.raw_features import with_features
from features.row_lists import encode_rows
from features.sessions import SESSION_PAIRS, session_pairs
from features.spec.features import Side
from features.spec.session import Session
from features.spec.split import Split
from features.split import TimeBounds
from pipelines.aggregation.output import in_order, to_parquet

EPOCH = datetime(1970, 1, 1)
BOUNDS = TimeBounds(10_000_000, 20_000_000)
ITEMS = ["i1", "i2", "i3", "i4", "i5"]
CONTEXT = Side.model_validate({"features": {"device": {"kind": "categorical"}}})

line = st.tuples(
    st.sampled_from(["u1", "u2", "u3"]),
    st.sampled_from([*ITEMS, "unknown"]),
    st.sampled_from(["view", "buy", None]),
    st.sampled_from([0, 1, 3, 4, 9, 10, 11, 19, 20, 25]),
    st.sampled_from(["phone", "tv", None]),
)
# One user plays one or two items twice a second: lines that differ in context alone.
crowded_line = st.tuples(
    st.just("u1"),
    st.sampled_from(["i1", "i2"]),
    st.sampled_from(["view", "buy"]),
    st.sampled_from([0, 1]),
    st.sampled_from(["phone", "tv", None]),
)
logs = st.lists(line, max_size=40) | st.lists(crowded_line, max_size=8)
sessions = st.builds(
    Session,
    max_history=st.sampled_from([2, 3, 50]),
    min_history=st.sampled_from([0, 1, 2]),
    gap=st.sampled_from([None, 1, 5]),
    window=st.sampled_from([None, 1, 6]),
    context=st.sampled_from([Side(), CONTEXT]),
)
splits = st.builds(
    lambda how, **keys: Split(**how, **keys),
    how=st.sampled_from(
        [{"method": "query_hash", "validation": 0.3, "test": 0.3}, {"method": "time", "validation_seconds": 1}]
    ),
    seed=st.integers(0, 3),
    train_fraction=st.sampled_from([1.0, 0.5]),
    max_train_pairs_per_query=st.sampled_from([None, 1, 3]),
)


def table(log, session):
    rows = [
        {"query_id": q, "item_id": i, "event": e, "timestamp": EPOCH + timedelta(seconds=t), "place": place}
        | {"feature/device": device}
        for place, (q, i, e, t, device) in enumerate(log)
    ]
    return one_by_one(pa.Table.from_pylist(rows, schema=with_features(LINES, session.context)))


def examples(lines, session, split, drop_duplicates):
    bounds = BOUNDS if split.method == "time" else None
    known = pa.array([*ITEMS, "i6"])
    is_known = pc.is_in(lines.column("item_id"), known)
    merged = session_pairs(
        lines.filter(is_known), session=session, split=split, bounds=bounds, drop_duplicates=drop_duplicates
    )
    capped = cap_pairs(merged.rows, split)
    thinned = sum(p["thinned"] for p in capped.rows.to_pylist())
    filtered = merged.filtered + capped.filtered + Counter(thinned=thinned)
    return Kept(capped.rows, filtered)


def tie(item):
    return int(hash_texts(pa.array([item]), 0x71E)[0])


def split_code(user, time, split):
    if split.method == "time":
        return 2 if time >= 20 else 1 if time >= 10 else 0
    drawn = float(as_fraction(hash_texts(pa.array([user]), split.seed ^ 0x5E55))[0])
    return 2 if drawn < 0.3 else 1 if drawn < 0.6 else 0


def by_hand(log, session, split, drop_duplicates):
    """(user, item, split, time, history, device, thinned) and filtered lines, a line at a time."""
    filtered, by_user = Counter(), defaultdict(list)
    for q, i, e, t, device in log:
        if i == "unknown":
            continue
        if drop_duplicates and (t, tie(i), i, e) in [one[:4] for one in by_user[q]]:
            filtered["duplicate"] += 1
            continue
        by_user[q].append((t, tie(i), i, e, device if session.context.features else None))
    found = []
    for user, lines in by_user.items():
        lines.sort(key=lambda one: one[:3])
        mine = []
        for now, _, item, _, device in lines:
            history, next_time = [], now
            for before, _, other, *_ in reversed(lines):
                if before >= now:
                    continue
                if session.gap is not None and next_time - before > session.gap:
                    break
                if session.window is not None and before < now - session.window:
                    break
                next_time = before
                history.insert(0, other)
            history = history[-session.max_history :]
            if len(history) < session.min_history:
                filtered["short_history"] += 1
                continue
            mine.append((user, item, split_code(user, now, split), now, tuple(history), device))
        train = [one for one in mine if one[2] == 0]
        train.sort(key=lambda one: (-one[3], pair_hash(one, split.seed ^ 0xCA9), said_hash(one, split.seed ^ 0xCA9)))
        for one in train[split.max_train_pairs_per_query or len(train) :]:
            filtered["over_cap"] += 1
            mine.remove(one)
        for one in mine:
            thinned = False
            if one[2] == 0 and split.train_fraction < 1:
                hashed = mix(hashes(one, split.seed ^ 0x7417), pa.array([one[3] * 1_000_000], pa.uint64()).to_numpy())
                thinned = float(as_fraction(hashed)[0]) >= 0.5
            filtered["thinned"] += thinned
            found.append((*one, thinned))
    return by_row(found), +filtered


def hashes(one, seed):
    return hash_pairs(pa.array([one[0]]), pa.array([one[1]]), seed=seed)


def pair_hash(one, seed):
    return int(hashes(one, seed)[0])


def said_hash(one, seed):
    said = encode_rows(pa.table({"feature/device": pa.array([one[5]], pa.string())}))
    return int(hash_texts(said.cast(pa.binary()), seed)[0])


def by_row(rows):
    """Sorted, of rows in which the device may be missing."""
    return sorted(rows, key=lambda row: (*row[:5], row[5] or "", row[6]))


def rows_of(merged):
    found = []
    for p in merged.rows.to_pylist():
        assert (p["count"], p["first"]) == (1, p["last"])
        seconds = (p["last"] - EPOCH).total_seconds()
        said = p.get("feature/device")
        found.append((p["query_id"], p["item_id"], p["split"], seconds, tuple(p["history"]), said, p["thinned"]))
    return by_row(found)


@settings(max_examples=300)
@given(logs, sessions, splits, st.booleans())
def test_examples_are_those_of_a_plain_loop(log, session, split, drop_duplicates):
    merged = examples(table(log, session), session, split, drop_duplicates)
    expected, filtered = by_hand(log, session, split, drop_duplicates)
    assert merged.rows.schema == with_features(SESSION_PAIRS, session.context)
    assert rows_of(merged) == expected
    assert merged.filtered == filtered
    kept = sum(not p["thinned"] for p in merged.rows.to_pylist())
    assert len(log) == kept + merged.filtered.total() + [item for _, item, *_ in log].count("unknown")


@given(logs, sessions, splits, st.booleans(), st.randoms(use_true_random=False))
def test_of_lines_in_another_order_a_shard_makes_the_same_file(log, session, split, drop_duplicates, random):
    lines = table(log, session)
    order = list(range(len(log)))
    random.shuffle(order)
    shuffled = lines.take(pa.array(order, pa.int64()))
    one, other = (examples(ls, session, split, drop_duplicates) for ls in (lines, shuffled))
    assert to_parquet(in_order(one.rows)) == to_parquet(in_order(other.rows))
    assert one.filtered == other.filtered


@given(logs, sessions, splits, st.integers(0, 25))
def test_nothing_that_comes_later_changes_an_example(log, session, split, now):
    split = split.model_copy(update={"max_train_pairs_per_query": None})

    def until(lines):
        return [row for row in rows_of(examples(table(lines, session), session, split, True)) if row[3] <= now]

    assert until(log) == until([one for one in log if one[3] <= now])
