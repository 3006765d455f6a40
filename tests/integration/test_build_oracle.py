"""The Beam job against a plain loop: from the bytes of a log to every example, count, vocabulary and reject."""

import json
import math
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import xxhash

from features.hashing import as_fraction, hash_pairs

Json = dict[str, Any]
Pair = tuple[str, str]
SPLITS = ("train", "validation", "test")


# ------------------------------------------------------------------------------------------------- from lines to pairs


@dataclass
class Plain:
    """What a plain loop makes of a log."""

    pairs: dict[str, dict[Pair, list[Any]]]
    """Split -> pair -> the times of its lines."""
    full: dict[Pair, list[Any]]
    """Training pairs before they are thinned."""
    filtered: Counter[str] = field(default_factory=Counter)
    rejects: list[tuple[str, str, int, int]] = field(default_factory=list)
    """Reason, file, byte, lines."""
    read: int = 0


def draw(pair: Pair, seed: int) -> float:
    hashed = hash_pairs(pa.array([pair[0]]), pa.array([pair[1]]), seed)
    return float(as_fraction(hashed)[0])


def plain_loop(logs: Mapping[str, bytes], items: set[str], spec: Json, window: tuple[int, int] | None = None) -> Plain:
    """CONTRACTS 4, line by line; times in microseconds."""
    source = {"query_id": "query_id", "item_id": "item_id", "event": "event"} | spec["sources"]["interactions"]
    split = spec.get("split", {})
    result = Plain({name: {} for name in SPLITS}, {})
    kept: list[tuple[str, str, Any, Any]] = []
    unknown: dict[Pair, list[tuple[str, int]]] = defaultdict(list)
    for name, content in sorted(logs.items()):
        offset = 0
        for line in content.splitlines(keepends=True):
            place, offset = offset, offset + len(line)
            result.read += 1
            fate = judge(line, source, needs_time=split.get("method") == "time")
            if fate is None:
                result.filtered["blank"] += 1
            elif isinstance(fate, str):
                result.rejects.append((fate, name, place, 1))
            elif source.get("positive_events") and fate[2] not in source["positive_events"]:
                result.filtered["not_positive"] += 1
            elif window and fate[3] is not None and not window[0] <= fate[3] < window[1]:
                result.filtered["outside_window"] += 1
            elif fate[1] not in items:
                unknown[fate[:2]].append((name, place))
            else:
                kept.append(fate)
    result.rejects += [("unknown_item", *min(places), len(places)) for places in unknown.values()]
    if source.get("drop_duplicates", True):
        result.filtered["duplicate"] = len(kept) - len(set(kept))
        kept = list(set(kept))
    merged: dict[str, dict[Pair, list[Any]]] = {name: defaultdict(list) for name in SPLITS}
    for query, item, _, time in kept:
        merged[split_of((query, item), time, split)][query, item].append(time)
    for code, name in enumerate(SPLITS):
        earlier = {pair for before in SPLITS[:code] for pair in merged[before]}
        for pair, times in merged[name].items():
            if pair in earlier and not split.get("repeat_consumption"):
                result.filtered["pair_of_earlier_split"] += len(times)
            elif split.get("cold_items") and (
                (name == "train" and is_cold(pair[1], split))
                or (spec["sources"]["queries"] == "items" and is_cold(pair[0], split))
            ):
                result.filtered["cold_item"] += len(times)
            else:
                result.pairs[name][pair] = times
    cap_and_thin(result, split)
    result.filtered = +result.filtered
    return result


def judge(line: bytes, source: Json, *, needs_time: bool) -> tuple[str, str, Any, Any] | str | None:
    """None for a blank line, the reason to reject it, or (query, item, event, time)."""
    if not line.strip():
        return None
    columns = [source[key] for key in ("query_id", "item_id", "event", "timestamp") if source.get(key)]

    def once(pairs: list[tuple[str, Any]]) -> Json:
        names = [name for name, _ in pairs if name in columns]
        if len(set(names)) < len(names):
            raise ValueError("a column twice")
        return dict(pairs)

    try:
        row = json.loads(line.decode(), object_pairs_hook=once)
    except UnicodeDecodeError:
        return "invalid_utf8"
    except ValueError:
        return "not_json"
    if not isinstance(row, dict):
        return "not_json"
    iso = source.get("timestamp_unit") == "iso"
    for column in columns:
        value = row.get(column)
        wanted = (int, float) if column == source.get("timestamp") and not iso else (str, int)
        if value is not None and (isinstance(value, bool) or not isinstance(value, wanted)):
            return "wrong_type"
    ids = []
    for name in ("query_id", "item_id"):
        value = row.get(source[name])
        if value in (None, ""):
            return f"missing_{name}"
        if len(str(value).encode()) > 1024 or re.search(r"[\x00-\x1f\x7f]", str(value)):
            return f"bad_{name}"
        ids.append(str(value))
    if not row.get(source["event"]):
        return "missing_event"
    time = row.get(source.get("timestamp", ""))
    if time is not None:
        if iso:
            try:
                instant = datetime.fromisoformat(time)
            except ValueError:
                return "bad_timestamp"
            if instant.tzinfo is None:
                return "bad_timestamp"
            time = instant.timestamp()
        time /= 1000 if source.get("timestamp_unit") == "ms" else 1
        if not 0 <= time < 7_258_118_400:  # 2200-01-01
            return "bad_timestamp"
        time = round(time * 1_000_000)
    elif needs_time:
        return "missing_timestamp"
    return ids[0], ids[1], row[source["event"]], time


def split_of(pair: Pair, time: Any, split: Json) -> str:
    if split.get("method") == "time":
        instants = [datetime.fromisoformat(split[f"{name}_start"]).timestamp() for name in ("validation", "test")]
        return SPLITS[sum(time >= instant * 1_000_000 for instant in instants)]
    drawn = draw(pair, split.get("seed", 0))
    if drawn < split["test"]:
        return "test"
    return "validation" if drawn < split["test"] + split["validation"] else "train"


def is_cold(item: str, split: Json) -> bool:
    return xxhash.xxh3_64_intdigest(item.encode(), split.get("seed", 0) ^ 0xC01D) / 2**64 < split["cold_items"]


def cap_and_thin(result: Plain, split: Json) -> None:
    train, seed = result.pairs["train"], split.get("seed", 0)
    by_query: dict[str, list[Pair]] = defaultdict(list)
    for pair in train:
        by_query[pair[0]].append(pair)
    for pairs in by_query.values():
        latest = {pair: max((t for t in train[pair] if t is not None), default=-1) for pair in pairs}
        pairs.sort(key=lambda pair: (-latest[pair], draw(pair, seed ^ 0xCA9)))
        for pair in pairs[split.get("max_train_pairs_per_query", len(pairs)) :]:
            result.filtered["over_cap"] += len(train.pop(pair))
    result.full = dict(train)
    for pair in list(train):
        if draw(pair, seed ^ 0x7417) >= split.get("train_fraction", 1):
            result.filtered["thinned"] += len(train.pop(pair))


# --------------------------------------------------------------------------------------- from pairs to what is learned


def entities(table: bytes, id_column: str, side: Json) -> dict[str, Json]:
    """Id -> its raw features, cleaned."""
    found = {}
    for line in table.splitlines():
        row = json.loads(line)
        features: Json = {}
        for name, feature in side["features"].items():
            value = row.get(feature.get("column", name))
            if feature["kind"] == "multivalued":
                values = [re.sub(r"[\x00-\x1f\x7f]+", " ", part) for part in value or [] if part]
                features[name] = values if value is not None else []
            elif feature["kind"] in ("categorical", "text"):
                features[name] = re.sub(r"[\x00-\x1f\x7f]+", " ", value) if value else None
            elif feature["kind"] == "numeric":
                features[name] = value
        found[str(row[id_column])] = features
    return found


def terms_of(id_: str, row: Json, name: str, feature: Json) -> list[str]:
    if feature["kind"] == "id":
        return [id_]
    value = row.get(name)
    if feature["kind"] == "text":
        words = re.findall(r"\w+", (value or "").lower())
        return [" ".join(words[i : i + n]) for n in feature.get("ngrams", [1]) for i in range(len(words) - n + 1)]
    return (value or []) if feature["kind"] == "multivalued" else [value] if value else []


def learn(sides: Mapping[str, dict[str, Json]], counts: Mapping[str, Counter[str]], spec: Json) -> dict[str, list[str]]:
    """Vocabulary -> its terms, the most counted first, ties from the last in the alphabet on."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    rules: dict[str, Json] = {}
    shares_items = spec["sources"]["queries"] == "items"
    item_vocabularies = {f.get("vocabulary", f"item_{n}") for n, f in spec["item"]["features"].items()}
    for side, rows in sides.items():
        for name, feature in spec[side]["features"].items():
            if feature["kind"] == "numeric":
                continue
            vocabulary = feature.get("vocabulary", f"{side}_{name}")
            rules[vocabulary] = feature
            for id_, row in rows.items():
                if feature["kind"] == "id":
                    counted[vocabulary][id_] += counts[side][id_]
                elif side == "query" and shares_items and vocabulary in item_vocabularies:
                    continue  # the same rows stand on both sides
                else:
                    counted[vocabulary].update(dict.fromkeys(terms_of(id_, row, name, feature), 1))
    learned = {}
    for vocabulary, counter in counted.items():
        feature = rules[vocabulary]
        least = feature.get("min_count", 0 if feature["kind"] == "id" else 1)
        ordered = sorted(((n, term) for term, n in counter.items() if n >= least), reverse=True)
        learned[vocabulary] = [term for _, term in ordered[: feature.get("top_k")]]
    return learned


def encode(id_: str, row: Json, side: str, spec: Json, *, vocabularies: Mapping[str, list[str]], scales: Json) -> Json:
    """Key -> its list, as an example holds it; keys without a value left out."""
    half: Json = {f"{side}_id": [id_.encode()]}
    for name, feature in spec[side]["features"].items():
        if feature["kind"] == "numeric":
            if row.get(name) is not None:
                mean, deviation, log = scales[name]
                half[f"{side}/{name}"] = [pytest.approx((log(row[name]) - mean) / deviation, rel=1e-5, abs=1e-6)]
            continue
        terms = vocabularies[feature.get("vocabulary", f"{side}_{name}")]
        codes = [terms.index(term) for term in terms_of(id_, row, name, feature) if term in terms]
        if codes:
            single = feature["kind"] in ("id", "categorical")
            half[f"{side}/{name}"] = codes[: 1 if single else feature.get("max_values", 64)]
    return half


def scales_of(items: Iterable[Json], side: Json) -> Json:
    scales = {}
    for name, feature in side["features"].items():
        if feature["kind"] == "numeric":
            log: Callable[[float], float] = math.log1p if feature.get("log1p") else float
            numbers = [log(row[name]) for row in items if row.get(name) is not None]
            scales[name] = statistics.fmean(numbers), statistics.pstdev(numbers), log
    return scales


# ---------------------------------------------------------------------------------------------------------- comparison


def sort(examples: Iterable[Json]) -> list[Json]:
    return sorted(examples, key=lambda e: (e.get("query_id", [b""]), e.get("item_id", [b""])))


def assert_same(
    built: Any, spec: Json, *, logs: Mapping[str, bytes], items: bytes, queries: bytes, **options: Any
) -> None:
    """Every part of a dataset against the plain loop."""
    sources = spec["sources"]
    item_rows = entities(items, sources["items"].get("id", "item_id"), spec["item"])
    query_id = (sources["queries"] if isinstance(sources["queries"], dict) else sources["items"]).get("id", "item_id")
    query_table = entities(queries, query_id, spec["query"])
    plain = plain_loop(logs, set(item_rows), spec, **options)
    expected_pairs = {name: set(plain.pairs[name]) for name in SPLITS}

    counts = {
        side: Counter(pair[end] for pair in expected_pairs["train"]) for end, side in enumerate(("query", "item"))
    }
    full = {side: Counter(pair[end] for pair in plain.full) for end, side in enumerate(("query", "item"))}
    asked = {pair[0] for pairs in (*expected_pairs.values(), plain.full) for pair in pairs}
    query_rows = {id_: query_table.get(id_, {}) for id_ in asked}

    # Entities, and their counts.
    for kind, side, rows in (("items", "item", item_rows), ("queries", "query", query_rows)):
        found = built.entities(kind)
        assert found.keys() == rows.keys()
        for id_, row in found.items():
            assert (row["train_count"], row["full_train_count"]) == (counts[side][id_], full[side][id_])
            for name in (n for n, f in spec[side]["features"].items() if f["kind"] != "id"):
                assert (row[f"feature/{name}"] or None) == (rows[id_].get(name) or None) or row[f"feature/{name}"] == 0

    # What is learned: from the whole item table, and the queries that have a training pair.
    trained = {id_: row for id_, row in query_rows.items() if counts["query"][id_]}
    vocabularies = learn({"query": trained, "item": item_rows}, counts, spec)
    assert {name: built.vocabulary(name) for name in built.manifest["vocabularies"]} == vocabularies
    assert built.manifest["vocabularies"] == {name: len(terms) for name, terms in vocabularies.items()}

    # Corpus and examples.
    scales = scales_of(item_rows.values(), spec["item"])
    halves = {
        id_: encode(id_, row, "item", spec, vocabularies=vocabularies, scales=scales)
        | {"item/train_count": [counts["item"][id_]]}
        for id_, row in item_rows.items()
    }
    assert sort(built.examples("items")) == sort(halves.values())
    for name in SPLITS:
        expected = [
            encode(query, query_rows[query], "query", spec, vocabularies=vocabularies, scales={}) | halves[item]
            for query, item in expected_pairs[name]
        ]
        assert sort(built.examples(name)) == sort(expected)
        assert built.manifest["counts"][f"examples/{name}"] == len(expected)

    # Every line is accounted for.
    rejects = [(r["reason"], r["file"], r["byte"], r["lines"]) for r in built.rejects()]
    assert sorted(rejects) == sorted(plain.rejects)
    by_reason: Counter[str] = Counter()
    for reason, _, _, lines in plain.rejects:
        by_reason[reason] += lines
    assert built.manifest["rejected"] == by_reason
    said = built.manifest["counts"]
    filtered = {n.removeprefix("filtered/"): c for n, c in said.items() if n.startswith("filtered/") and c}
    assert filtered == plain.filtered
    kept = sum(len(times) for pairs in plain.pairs.values() for times in pairs.values())
    assert (said["lines/read"], said["lines/kept"]) == (plain.read, kept)
    assert plain.read == kept + sum(plain.filtered.values()) + sum(by_reason.values())
    assert (said["items"], said["queries"]) == (len(item_rows), len(query_rows))
    assert said["items/cold"] == sum(counts["item"][id_] == 0 for id_ in item_rows)


# --------------------------------------------------------------------------------------------------------------- tests


def test_a_log_with_every_kind_of_bad_line(shop: Any, shop_dataset: Any) -> None:
    files = shop.files
    tables = {"items": files["items.jsonl"], "queries": files["queries.jsonl"]}
    assert_same(shop_dataset, shop.spec, logs={n: c for n, c in files.items() if n.startswith("log/")}, **tables)
    # The log is worth the test: every rule has met a line, and every split has examples.
    assert shop_dataset.manifest["rejected"].keys() == {
        "not_json", "invalid_utf8", "wrong_type", "missing_query_id", "bad_query_id", "missing_item_id", "bad_item_id",
        "missing_event", "bad_timestamp", "unknown_item",
    }  # fmt: skip
    counts = shop_dataset.manifest["counts"]
    assert min(counts[f"examples/{name}"] for name in SPLITS) > 15
    assert {n for n in counts if n.startswith("filtered/")} == {
        "filtered/blank", "filtered/not_positive", "filtered/duplicate"
    }  # fmt: skip
    assert counts["items/cold"] > 5


def test_a_log_in_partitions_split_by_time_capped_and_thinned(pages: Any, pages_dataset: Any) -> None:
    window = tuple(round(datetime.fromisoformat(f"{day}+00:00").timestamp() * 1e6) for day in pages.window)
    logs = {name: content for name, content in pages.files.items() if name.startswith("log/") and "-05/" not in name}
    items = pages.files["items/2024-01-02/items.jsonl"]
    assert_same(pages_dataset, pages.spec, logs=logs, items=items, queries=items, window=window)
    counts = pages_dataset.manifest["counts"]
    for rule in ("outside_window", "duplicate", "pair_of_earlier_split", "over_cap", "thinned"):
        assert counts[f"filtered/{rule}"] > 5, rule
    assert min(counts[f"examples/{name}"] for name in SPLITS) > 10


def test_cold_items_are_in_no_training_pair_and_in_nothing_that_is_learned(
    pages: Any, build: Any, write_raw: Any, tmp_path: Path
) -> None:
    spec = pages.spec | {"split": pages.spec["split"] | {"cold_items": 0.3}}
    raw = write_raw(tmp_path / "raw", pages.files)
    built = build(tmp_path / "dataset", spec, *pages.flags, "--shards", "2", raw=raw)
    assert built.code == 0, built.error
    window = tuple(round(datetime.fromisoformat(f"{day}+00:00").timestamp() * 1e6) for day in pages.window)
    logs = {name: content for name, content in pages.files.items() if name.startswith("log/") and "-05/" not in name}
    items = pages.files["items/2024-01-02/items.jsonl"]
    assert_same(built, spec, logs=logs, items=items, queries=items, window=window)
    counts = built.manifest["counts"]
    assert counts["filtered/cold_item"] > 50
    assert min(counts[f"filtered/{rule}"] for rule in ("pair_of_earlier_split", "over_cap", "thinned")) > 0
    # They are there to be ranked, by queries that are not cold.
    cold = {str(page) for page in range(25) if is_cold(str(page), spec["split"])}
    ranked = [(e["query_id"][0].decode(), e["item_id"][0].decode()) for e in built.examples("test")]
    assert sum(item in cold for _, item in ranked) >= 3
    assert not any(query in cold for query, _ in ranked)
    assert {e["item_id"][0].decode() for e in built.examples("items") if e["item/train_count"] == [0]} >= cold


def test_repeats_stay_where_the_spec_keeps_them(build: Any, write_raw: Any, tmp_path: Path) -> None:
    spec = {
        "name": "repeats",
        "sources": {
            "interactions": {"path": "log/*", "timestamp": "at", "timestamp_unit": "iso", "drop_duplicates": False},
            "items": {"path": "items.jsonl"},
            "queries": None,
            "max_reject_ratio": 0.5,
        },
        "query": {"features": {"user": {"kind": "id"}}},
        "item": {
            "features": {"app": {"kind": "id", "min_count": 1}, "shelf": {"kind": "categorical", "oov_buckets": 0}}
        },
        "split": {"method": "time", "validation_seconds": 3600, "repeat_consumption": True},
    }
    times = [f"2024-05-01T{hour:02}:30:00.25{zone}" for hour in range(8, 14) for zone in ("+00:00", "+02:00", "Z")]
    times += ["2024-05-01T10:00:00", "yesterday"]
    draws = [(n * 7 % 5, n * 11 % 6, times[n * 13 % len(times)]) for n in range(150)]
    lines = [{"query_id": f"u{u}", "item_id": f"a{a}", "event": "get", "at": at} for u, a, at in draws]
    lines[9] |= {"at": None}
    items = [{"item_id": f"a{n}", "shelf": "left" if n % 2 else "right"} for n in range(6)]
    files = {
        name: b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        for name, rows in (("log/a.jsonl", lines), ("items.jsonl", items))
    }
    raw = write_raw(tmp_path / "raw", files)

    built = build(tmp_path / "dataset", spec, "--test-start", "2024-05-01T11:00:00Z", "--shards", "2", raw=raw)

    assert built.code == 0, built.error
    starts = {"validation_start": "2024-05-01T10:00:00+00:00", "test_start": "2024-05-01T11:00:00+00:00"}
    plain_spec = spec | {"split": spec["split"] | starts}
    logs = {"log/a.jsonl": files["log/a.jsonl"]}
    assert_same(built, plain_spec, logs=logs, items=files["items.jsonl"], queries=b"")
    assert built.manifest["job_options"]["test_start"] == "2024-05-01T11:00:00Z"
    assert built.manifest["counts"]["lines/kept"] > 100
