"""Session mode end to end: examples against a plain loop over the log, nothing of the future, two engines alike."""

import json
import random
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.hashing import hash_texts
from features.spec_file import build_spec, load_spec
from pipelines.spark import aggregate as aggregate_spark
from stage.command_line import run_command
from stage.errors import UsageError

Json = dict[str, Any]
SECONDS = {"validation": 600, "test": 800}
GAP, MAX_HISTORY, WINDOW = 60, 4, 150
SPEC: Json = {
    "name": "listening",
    "sources": {
        "interactions": {
            "path": "log/*", "query_id": "who", "item_id": "what", "event": "how", "timestamp": "when",
            "positive_events": ["play"],
        },
        "items": {"path": "items.jsonl"},
        "queries": {"path": "users.jsonl", "id": "who"},
        "max_reject_ratio": 0.1,
    },
    "query": {"features": {"country": {"kind": "categorical"}}},
    "item": {"features": {"song": {"kind": "id", "min_count": 1}, "genre": {"kind": "categorical"}}},
    "session": {"max_history": MAX_HISTORY, "gap": GAP, "window": WINDOW},
    "split": {
        "method": "time",
        "validation_start": "1970-01-01T00:10:00Z", "test_start": "1970-01-01T00:13:20Z",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def log() -> list[Json]:
    """Users at different paces, ties, repeats, duplicates, an unknown item, and one song that only test plays."""
    draw = random.Random(3)
    lines = []
    for user in range(12):
        now = draw.randrange(50)
        for _ in range(25):
            song = f"s{min(int(draw.expovariate(0.2)), 17)}"
            lines.append({"who": f"u{user}", "what": song, "how": "play", "when": now})
            now += draw.choice([0, 5, 20, 40, 61, 200]) if user % 2 else draw.choice([1, 30, 60])
    lines += [draw.choice(lines) for _ in range(15)]
    lines += [{"who": "u1", "what": "gone", "how": "play", "when": 20 + n} for n in range(3)]
    lines += [{"who": "u2", "what": "s3", "how": "skip", "when": 100 + n} for n in range(5)]
    lines += [{"who": "u3", "what": "planted", "how": "play", "when": when} for when in (1_000_000, 1_000_010)]
    lines.append({"who": "u4", "what": "s1", "how": "play", "when": None})
    draw.shuffle(lines)
    return lines


@pytest.fixture(scope="module")
def raw(log: list[Json], write_raw: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    songs = [{"item_id": f"s{n}", "genre": "ab"[n % 2]} for n in range(20)] + [{"item_id": "planted", "genre": "a"}]
    users = [{"who": f"u{n}", "country": "xy"[n % 2]} for n in range(10)]
    files = {"log/0.jsonl.gz": log[:100], "log/1.jsonl": log[100:], "items.jsonl": songs, "users.jsonl": users}
    directory = tmp_path_factory.mktemp("listening") / "raw"
    text = {name: "".join(json.dumps(row) + "\n" for row in rows).encode() for name, rows in files.items()}
    return write_raw(directory, text)


@pytest.fixture(scope="module")
def dataset(raw: Path, build: Any) -> Any:
    built = build(raw.parent / "dataset", SPEC, "--shards", "3", raw=raw)
    assert built.code == 0, built.error
    return built


def plain_examples(log: list[Json]) -> Iterator[tuple[str, str, str, list[str]]]:
    """(split, user, song, history, the latest song last)."""
    by_user: dict[str, set[tuple[int, int, str]]] = defaultdict(set)
    for line in log:
        if line["how"] == "play" and line["what"] != "gone" and line["when"] is not None:
            tie = int(hash_texts(pa.array([line["what"]]), 0x71E)[0])
            by_user[line["who"]].add((line["when"], tie, line["what"]))
    for user, played in by_user.items():
        for now, _, song in played:
            history: list[str] = []
            later = now
            for then, _, other in sorted(played, reverse=True):
                if then < now:
                    if later - then > GAP or now - then > WINDOW:
                        break
                    history.insert(0, other)
                    later = then
            if history:
                split = "test" if now >= SECONDS["test"] else "validation" if now >= SECONDS["validation"] else "train"
                yield split, user, song, history[-MAX_HISTORY:]


def test_every_example_is_that_of_a_plain_loop(dataset: Any, log: list[Json]) -> None:
    expected = list(plain_examples(log))
    codes = {song: code for code, song in enumerate(dataset.vocabulary("item_song"))}
    for split in ("train", "validation", "test"):
        mine = [
            (user, song, [codes[s] for s in history if s in codes])
            for where, user, song, history in expected
            if where == split
        ]
        found = dataset.examples(split)
        assert dataset.manifest["counts"][f"examples/{split}"] == len(mine) > 20
        assert sorted(mine) == sorted(
            (_text(e, "query_id"), _text(e, "item_id"), e.get("pair/history", [])) for e in found
        )
        # What the user and the item have, they have in session mode too; of u10 and u11 no table tells.
        assert all(("query/country" in e) == (int(_text(e, "query_id")[1:]) < 10) for e in found)
        assert all("item/genre" in e for e in found)


def test_what_only_test_plays_is_learned_nowhere(dataset: Any, log: list[Json]) -> None:
    train = Counter(song for split, _, song, _ in plain_examples(log) if split == "train")
    items = dataset.entities("items")
    assert {song: row["train_count"] for song, row in items.items()} == {song: train[song] for song in items}
    assert items["planted"]["train_count"] == 0
    # min_count 1: songs that are nobody's next song in training are unknown.
    assert set(dataset.vocabulary("item_song")) == set(train)
    planted = [e for e in dataset.examples("test") if e["item_id"] == [b"planted"]]
    # Its second line has the first as its history, which is unknown.
    assert len(planted) == 1
    assert "pair/history" not in planted[0]


def test_every_line_is_accounted_for(dataset: Any, log: list[Json]) -> None:
    counts = dataset.manifest["counts"]
    assert counts["lines/read"] == len(log)
    assert counts["lines/read"] == counts["lines/kept"] + counts["lines/filtered"] + counts["lines/rejected"]
    assert dataset.manifest["rejected"] == {"missing_timestamp": 1, "unknown_item": 3}
    assert counts["filtered/not_positive"] == 5
    assert counts["filtered/duplicate"] >= 15
    assert counts["lines/kept"] == len(list(plain_examples(log)))


def test_shards_do_not_matter(dataset: Any, raw: Path, build: Any, tmp_path: Path, small_blocks: None) -> None:
    again = build(tmp_path / "dataset", SPEC, "--shards", "5", raw=raw)
    assert again.code == 0, again.error
    assert again.content == dataset.content


@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java 17 or newer")
def test_spark_makes_the_same(dataset: Any, raw: Path, build: Any, tmp_path: Path) -> None:
    aggregate = tmp_path / "aggregate"
    flags = ["--spec", str(raw.parent / "dataset.yaml"), "--raw", str(raw), "--output", str(aggregate), "--shards", "2"]
    assert run_command(aggregate_spark.main, [*flags, "--master", "local[2]"]) == 0
    pairs = [row for file in (aggregate / "pairs").iterdir() for row in pq.ParquetFile(file).read().to_pylist()]
    assert {len(row["history"]) for row in pairs} == {1, 2, 3, 4}
    built = build(tmp_path / "dataset", SPEC, "--aggregated", str(aggregate))
    assert built.code == 0, built.error
    assert built.content == dataset.content
    assert built.manifest["counts"] == dataset.manifest["counts"]


def test_split_by_user_keeps_a_user_in_one_split(raw: Path, build: Any, tmp_path: Path) -> None:
    split = {"method": "query_hash", "validation": 0.2, "test": 0.3, "seed": 1}
    sources = SPEC["sources"] | {"queries": None}
    spec = SPEC | {"sources": sources, "query": {}, "session": {}, "split": split}
    built = build(tmp_path / "dataset", spec, "--shards", "2", raw=raw)
    assert built.code == 0, built.error
    users = {split: {_text(e, "query_id") for e in built.examples(split)} for split in ("train", "validation", "test")}
    assert sum(len(found) for found in users.values()) == len(set.union(*users.values())) == 12
    assert all(users.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": {"method": "pair_hash"}}, "split.method: expected query_hash or time with a section session"),
        ({"session": None}, "query.features: expected at least one, unless"),
        ({"session": {"context": ["device"]}}, "session.context: "),
        ({"session": {"min_history": 9, "max_history": 8}}, "min_history: expected at most max_history (8), got 9"),
        ({"item": {"features": {"genre": {"kind": "categorical"}}}}, "item.features: expected one of kind id"),
        ({"item": {"features": {"song": {"kind": "id", "oov_buckets": 1}}}}, "item.features: expected no oov_buckets"),
    ],
)
def test_what_session_mode_refuses(change: Mapping[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        build_spec(SPEC | {"query": {}} | change, source="listening.yaml")
    assert message in str(refused.value)


def test_users_are_no_items() -> None:
    spec = load_spec("wikispeedia-sessions").model_dump(mode="json")
    sources = spec["sources"]
    for change, message in (
        ({"queries": "items"}, "sources.queries: expected a table or null"),
        ({"interactions": sources["interactions"] | {"timestamp": None}}, "sources.interactions.timestamp: expected"),
    ):
        with pytest.raises(UsageError, match=message):
            build_spec(spec | {"sources": sources | change}, source="sessions.yaml")


def _text(example: Json, key: str) -> str:
    return str(example[key][0].decode())
