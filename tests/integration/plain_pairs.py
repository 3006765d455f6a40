"""From the bytes of a log to pairs and rejects, by a plain loop."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
import xxhash

from features.hashing import as_fraction, hash_pairs

Json = dict[str, Any]
Pair = tuple[str, str]
SPLITS = ("train", "validation", "test")


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
    hashed = hash_pairs(pa.array([pair[0]]), pa.array([pair[1]]), seed=seed)
    return float(as_fraction(hashed)[0])


def plain_loop(
    logs: Mapping[str, bytes], items: set[str], *, spec: Json, window: tuple[int, int] | None = None
) -> Plain:
    """What docs/data.md says of lines, and the spec of splits, line by line; times in microseconds."""
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
        merged[split_of((query, item), time, split=split)][query, item].append(time)
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
            return f"wrong_type ({column})"
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
    if time not in (None, ""):
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


def split_of(pair: Pair, time: Any, *, split: Json) -> str:
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
