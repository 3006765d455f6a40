"""Session mode end to end: examples against a plain loop over the log, nothing of the future, two engines alike."""

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from json_lines import json_lines
from needs_java import NEEDS_JAVA
from places import ROOT

from pipelines.spark import aggregate as aggregate_spark
from stage.command_line import run_command

Json = dict[str, Any]


@pytest.fixture(scope="module")
def raw(listening_dataset: Any) -> Path:
    return listening_dataset.directory.parent / "raw"


def test_every_example_is_that_of_a_plain_loop(listening_dataset: Any, listening: Any) -> None:
    expected = list(listening.examples())
    codes = {song: code for code, song in enumerate(listening_dataset.vocabulary("item_song"))}
    for split in ("train", "validation", "test"):
        mine = [
            (user, song, [codes[s] for s in history if s in codes])
            for where, user, song, history, _ in expected
            if where == split
        ]
        found = listening_dataset.examples(split)
        assert listening_dataset.manifest["counts"][f"examples/{split}"] == len(mine) > 20
        assert sorted(mine) == sorted(
            (_text(e, "query_id"), _text(e, "item_id"), e.get("pair/history", [])) for e in found
        )
        # What the user and the item have, they have in session mode too; of u10 and u11 no table tells.
        assert all(("query/country" in e) == (int(_text(e, "query_id")[1:]) < 10) for e in found)
        assert all("item/genre" in e for e in found)


def test_the_histories_that_the_documents_show_are_those_of_the_examples(
    listening_dataset: Any, listening: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/serving.md").read_text(), re.DOTALL | re.MULTILINE)
    assert block.count("2026-07-01") == 1
    for name in ("run", "log"):
        (tmp_path / name).mkdir()
    (tmp_path / "run/dataset").symlink_to(listening_dataset.directory)
    log = pd.DataFrame([[line[key] for key in ("who", "what", "how", "when")] for line in listening.lines])
    log.columns = ["who", "what", "how", "when"]
    log.assign(when=pd.to_datetime(log.when, unit="s")).to_parquet(tmp_path / "log/0.parquet")
    log.columns = ["query_id", "item_id", "event", "timestamp"]
    monkeypatch.chdir(tmp_path)

    played = log[log.event == "play"].drop_duplicates()
    tied = played[played.duplicated(["query_id", "timestamp"])].groupby("query_id").timestamp.min()
    examples = [(line["when"], who, history) for _, who, _, history, line in listening.examples()]
    compared = [(when, who, history) for when, who, history in examples if when <= tied.get(who, math.inf)]
    assert len(compared) > 150
    for now in sorted({when for when, *_ in compared})[1::2]:
        exec(compile(block.replace("2026-07-01", str(pd.Timestamp(now, unit="s"))), "docs/serving.md", "exec"), {})
        found = dict(pq.read_table("tonight/users.parquet").to_pandas().itertuples(index=False))
        for who, history in ((who, history) for when, who, history in compared if when == now):
            assert list(found[who][-4:]) == history  # session.max_history, to which the export cuts it


def test_what_only_test_plays_is_learned_nowhere(listening_dataset: Any, listening: Any) -> None:
    train = Counter(song for split, _, song, *_ in listening.examples() if split == "train")
    items = listening_dataset.entities("items")
    assert {song: row["train_count"] for song, row in items.items()} == {song: train[song] for song in items}
    assert items["planted"]["train_count"] == 0
    # min_count 1: songs that are nobody's next song in training are unknown.
    assert set(listening_dataset.vocabulary("item_song")) == set(train)
    planted = [e for e in listening_dataset.examples("test") if e["item_id"] == [b"planted"]]
    # Its second line has the first as its history, which is unknown.
    assert len(planted) == 1
    assert "pair/history" not in planted[0]


def test_every_line_is_accounted_for(listening_dataset: Any, listening: Any) -> None:
    counts = listening_dataset.manifest["counts"]
    assert counts["lines/read"] == len(listening.lines)
    assert counts["lines/read"] == counts["lines/kept"] + counts["lines/filtered"] + counts["lines/rejected"]
    assert listening_dataset.manifest["rejected"] == {"missing_timestamp": 1, "unknown_item": 3}
    assert counts["filtered/not_positive"] == 5
    assert counts["filtered/duplicate"] >= 15
    assert counts["lines/kept"] == len(list(listening.examples()))


@pytest.mark.usefixtures("small_blocks")
def test_neither_shards_nor_chunks_of_examples_matter(
    listening_dataset: Any, listening: Any, raw: Path, build: Any, tmp_path: Path
) -> None:
    again = build(tmp_path / "dataset", listening.spec, "--shards", "5", raw=raw)
    assert again.code == 0, again.error
    assert again.content == listening_dataset.content


def test_split_by_user_keeps_a_user_in_one_split(listening: Any, raw: Path, build: Any, tmp_path: Path) -> None:
    split = {"method": "query_hash", "validation": 0.2, "test": 0.3, "seed": 1}
    sources = listening.spec["sources"] | {"queries": None}
    spec = listening.spec | {"sources": sources, "query": {}, "session": {}, "split": split}
    built = build(tmp_path / "dataset", spec, "--shards", "2", raw=raw)
    assert built.code == 0, built.error
    users = {split: {_text(e, "query_id") for e in built.examples(split)} for split in ("train", "validation", "test")}
    assert sum(len(found) for found in users.values()) == len(set.union(*users.values())) == 12
    assert all(users.values())


@pytest.mark.slow
@NEEDS_JAVA
def test_spark_makes_the_same(listening_dataset: Any, listening: Any, raw: Path, build: Any, tmp_path: Path) -> None:
    aggregate = tmp_path / "aggregate"
    flags = ["--spec", str(raw.parent / "dataset.yaml"), "--raw", str(raw), "--output", str(aggregate), "--shards", "2"]
    assert run_command(aggregate_spark.main, [*flags, "--master", "local[2]"]) == 0
    pairs = [row for file in (aggregate / "pairs").iterdir() for row in pq.ParquetFile(file).read().to_pylist()]
    assert {len(row["history"]) for row in pairs} == {1, 2, 3, 4}
    built = build(tmp_path / "dataset", listening.spec, "--aggregated", str(aggregate))
    assert built.code == 0, built.error
    assert built.content == listening_dataset.content
    assert built.manifest["counts"] == listening_dataset.manifest["counts"]


@pytest.mark.slow
@NEEDS_JAVA
def test_of_users_with_many_lines_spark_keeps_the_same(
    listening: Any, write_raw: Any, build: Any, tmp_path: Path
) -> None:
    bot = [{"who": "bot", "what": f"s{n % 18}", "how": "play", "when": 7 * n % 1_200} for n in range(160)]
    of_bot = {"log/2.jsonl": json_lines(bot[:80]), "log/3.jsonl": json_lines(bot[80:])}
    raw, aggregate = write_raw(tmp_path / "raw", listening.files | of_bot), tmp_path / "aggregate"
    cap = ["--set", "session.max_lines=70"]
    by_beam = build(tmp_path / "beam", listening.spec, *cap, raw=raw)
    assert by_beam.code == 0, by_beam.error
    assert by_beam.manifest["counts"]["filtered/over_max_lines"] == 160 - 70
    # From four shards on the lines of users with more than 64 in a part meet in two steps.
    flags = ["--spec", str(tmp_path / "beam.yaml"), "--raw", str(raw), "--output", str(aggregate), "--shards", "5"]
    assert run_command(aggregate_spark.main, [*flags, *cap, "--master", "local[2]"]) == 0
    built = build(tmp_path / "dataset", listening.spec, *cap, "--aggregated", str(aggregate))
    assert built.code == 0, built.error
    assert built.content == by_beam.content
    assert built.manifest["counts"] == by_beam.manifest["counts"]


def _text(example: Json, key: str) -> str:
    return str(example[key][0].decode())
