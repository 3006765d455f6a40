"""The Beam job against a plain loop: from the bytes of a log to every example, count, vocabulary and reject."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from json_lines import json_lines
from plain_features import encode, entities, learn, scales_of
from plain_pairs import SPLITS, is_cold, plain_loop

from features.shards import shard_of

Json = dict[str, Any]


def sort(examples: Iterable[Json]) -> list[Json]:
    return sorted(examples, key=lambda e: (e.get("query_id", [b""]), e.get("item_id", [b""])))


def assert_same(
    built: Any, spec: Json, *, logs: Mapping[str, bytes], items: bytes, queries: bytes, **options: Any
) -> None:
    """Every part of a dataset against the plain loop."""
    sources = spec["sources"]
    item_rows = entities(items, sources["items"].get("id", "item_id"), side=spec["item"])
    query_id = (sources["queries"] if isinstance(sources["queries"], dict) else sources["items"]).get("id", "item_id")
    query_table = entities(queries, query_id, side=spec["query"])
    plain = plain_loop(logs, set(item_rows), spec=spec, **options)
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
                assert (row[f"feature/{name}"] or None) == (rows[id_].get(name) or None)

    # An export looks a query up in one file.
    for file in built.files("entities"):
        shard, _, shards = file.stem.rsplit("-", 3)[1:]
        ids = pq.ParquetFile(file).read()["id"].combine_chunks()
        assert set(shard_of(ids, int(shards)).tolist()) == {int(shard)}

    # What is learned: from the whole item table, and the queries that have a training pair.
    trained = {id_: row for id_, row in query_rows.items() if counts["query"][id_]}
    vocabularies = learn({"query": trained, "item": item_rows}, counts, spec=spec)
    assert {name: built.vocabulary(name) for name in built.manifest["vocabularies"]} == vocabularies
    assert built.manifest["vocabularies"] == {name: len(terms) for name, terms in vocabularies.items()}

    # Corpus and examples.
    scales = scales_of(item_rows.values(), spec["item"])
    halves = {
        id_: encode(id_, row, side="item", spec=spec, vocabularies=vocabularies, scales=scales)
        | {"item/train_count": [counts["item"][id_]]}
        for id_, row in item_rows.items()
    }
    assert sort(built.examples("items")) == sort(halves.values())
    for name in SPLITS:
        expected = [
            encode(query, query_rows[query], side="query", spec=spec, vocabularies=vocabularies, scales={})
            | halves[item]
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
    without_row = asked - query_table.keys()
    assert said.get("queries/without_row") == (len(without_row) if sources["queries"] else None)
    smallest = {"log": min(without_row), "table": min(query_table)} if without_row and query_table else None
    assert built.manifest["ids_to_compare"].get("queries/without_row") == smallest
    assert said["items/cold"] == sum(counts["item"][id_] == 0 for id_ in item_rows)


def test_a_log_with_every_kind_of_bad_line(shop: Any, shop_dataset: Any) -> None:
    files = shop.files
    tables = {"items": files["items.jsonl"], "queries": files["queries.jsonl"]}
    assert_same(shop_dataset, shop.spec, logs={n: c for n, c in files.items() if n.startswith("log/")}, **tables)
    # The log is worth the test: every rule has met a line, and every split has examples.
    assert shop_dataset.manifest["rejected"].keys() == {
        "not_json", "invalid_utf8", "missing_query_id", "bad_query_id", "missing_item_id", "bad_item_id",
        "missing_event", "bad_timestamp", "unknown_item",
        "wrong_type (who)", "wrong_type (what)", "wrong_type (how)", "wrong_type (when)",
    }  # fmt: skip
    counts = shop_dataset.manifest["counts"]
    assert min(counts[f"examples/{name}"] for name in SPLITS) > 15
    assert {n for n in counts if n.startswith("filtered/")} == {
        "filtered/blank", "filtered/not_positive", "filtered/duplicate"
    }  # fmt: skip
    assert counts["items/cold"] > 5
    listed = shop.spec["sources"]["interactions"]["positive_events"]
    assert {n for n in counts if n.startswith("positive/")} == {f"positive/{event}" for event in listed}
    assert 0 < counts["queries/without_row"] < counts["queries"]


def test_a_log_in_partitions_split_by_time_capped_and_thinned(pages: Any, pages_dataset: Any) -> None:
    window = tuple(round(datetime.fromisoformat(f"{day}+00:00").timestamp() * 1e6) for day in pages.window)
    logs = {name: content for name, content in pages.files.items() if name.startswith("log/") and "-05/" not in name}
    items = pages.files["items/2024-01-02/items.jsonl"]
    assert_same(pages_dataset, pages.spec, logs=logs, items=items, queries=items, window=window)
    counts = pages_dataset.manifest["counts"]
    for rule in ("outside_window", "duplicate", "pair_of_earlier_split", "over_cap", "thinned"):
        assert counts[f"filtered/{rule}"] > 5, rule
    assert min(counts[f"examples/{name}"] for name in SPLITS) > 10
    assert pages_dataset.manifest["table_days"] == {"items": "2024-01-02"}


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
    files = {name: json_lines(rows) for name, rows in (("log/a.jsonl", lines), ("items.jsonl", items))}
    raw = write_raw(tmp_path / "raw", files)

    built = build(tmp_path / "dataset", spec, "--test-start", "2024-05-01T11:00:00Z", "--shards", "2", raw=raw)

    assert built.code == 0, built.error
    starts = {"validation_start": "2024-05-01T10:00:00+00:00", "test_start": "2024-05-01T11:00:00+00:00"}
    plain_spec = spec | {"split": spec["split"] | starts}
    logs = {"log/a.jsonl": files["log/a.jsonl"]}
    assert_same(built, plain_spec, logs=logs, items=files["items.jsonl"], queries=b"")
    assert built.manifest["job_options"]["test_start"] == "2024-05-01T11:00:00Z"
    assert built.manifest["counts"]["lines/kept"] > 100
