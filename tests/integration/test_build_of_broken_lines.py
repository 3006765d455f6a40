"""A whole build of a log and a table of which most lines are broken: every reject, line by line, at its place."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from broken_lines import fuzz, huge_lines, item_row, log_row
from line_oracle import BLANK, LOG_COLUMNS, Verdict, judge_item_line, judge_log_line, read

Json = dict[str, Any]
Place = tuple[str, int]
SPEC: Json = {
    "name": "broken",
    "sources": {
        "interactions": {
            "path": "log/*", "query_id": "who", "item_id": "what", "event": "how", "timestamp": "when",
            "positive_events": ["get", "buy"],
        },
        "items": {"path": "items/*", "id": "app", "title": "title"},
        "max_reject_ratio": 0.9,
    },
    "query": {"features": {"user": {"kind": "id"}}},
    "item": {"features": {
        "app": {"kind": "id"}, "kind": {"kind": "categorical"}, "tags": {"kind": "multivalued"},
        "price": {"kind": "numeric"},
    }},
}  # fmt: skip


CONTENTS = {
    '{"who": 7, "what": "a1", "page": 3}': '{"who": "7", "what": "a1", "how": null, "when": null}',
    '{"when": -5, "how": "get", "what": 5, "who": "猫"}': '{"who": "猫", "what": "5", "how": "get", "when": -5.0}',
    '{"who": 7, "what": "a\\u0000", "how": ""}': '{"who": "7", "what": "a\\u0000", "how": "", "when": null}',
    '{"who": 7, "what": "no such item", "how": "buy"}': "7\tno such item",
    '{"who": 7, "what": "a1", "how": [1]}': '{"who": 7, "what": "a1", "how": [1]}',
}
"""Line of the log -> what its reject says that it said."""


def is_certain(verdict: Verdict | str) -> bool:
    return isinstance(verdict, str) or verdict.row is None or not verdict.reasons


def judge_log(line: bytes) -> Verdict | str:
    return judge_log_line(line, needs_time=False)


@pytest.fixture(scope="module")
def log() -> dict[str, bytes]:
    """10,000 lines in plain files and a compressed one, and lines longer than what is read at once."""
    lines = [line for line in fuzz(log_row, lines=10_000, seed=9) if is_certain(judge_log(line))]
    huge = [line for line in huge_lines(log_row, size=500_000, seed=1) if is_certain(judge_log(line))]
    parts = {"log/a.jsonl": lines[:4_000], "log/b.jsonl.gz": lines[4_000:7_000], "log/d.jsonl": lines[7_000:]}
    parts["log/c.jsonl"] = [line for pair in zip(huge, lines, strict=False) for line in pair]
    parts["log/e.jsonl"] = [line.encode() for line in CONTENTS]
    return {name: b"\n".join(part) + b"\n" * name.endswith(("a.jsonl", "gz")) for name, part in parts.items()}


@pytest.fixture(scope="module")
def table() -> dict[str, bytes]:
    """Broken lines of which none repeats an id, since that would fail the build, and most of the log's items."""
    known = [f'"a{n}"' for n in range(25)] + [str(n) for n in range(25)] + [f'"猫{n}"' for n in range(8)]
    lines, seen = [f'{{"app":{name}}}'.encode() for name in known], set(known)
    for line in fuzz(item_row, lines=2_000, seed=4):
        verdict = judge_item_line(line)
        name = verdict.row["app"] if isinstance(verdict, Verdict) and verdict.row else None
        if is_certain(verdict) and (name is None or not seen & {name, f'"{name}"'}):
            lines.append(line)
            seen.add(name)
    return {"items/x.jsonl": b"\n".join(lines[::2]), "items/y.jsonl": b"\n".join(lines[1::2])}


@pytest.fixture
def raw(log: dict[str, bytes], table: dict[str, bytes], write_raw: Any, tmp_path: Path) -> Path:
    return write_raw(tmp_path / "raw", log | table)


@pytest.fixture
def built(raw: Path, build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Read in ranges and blocks of which many end within a line."""
    monkeypatch.setattr("pipelines.aggregation.input_files.RANGE_BYTES", 300_000)
    monkeypatch.setattr("pipelines.aggregation.blocks.BLOCK_BYTES", 70_000)
    made = build(tmp_path / "dataset", SPEC, "--shards", "3", raw=raw)
    assert made.code == 0, made.error
    return made


def lines_of(files: dict[str, bytes]) -> list[tuple[Place, bytes]]:
    found = []
    for name, content in sorted(files.items()):
        place = 0
        for line in content.removesuffix(b"\n").split(b"\n"):
            found.append(((name, place), line))
            place += len(line) + 1
    return found


def test_every_line_is_accounted_for(log: dict[str, bytes], table: dict[str, bytes], built: Any) -> None:
    rejects = {(row["file"], row["byte"]): row for row in built.rejects()}
    assert len(rejects) == len(built.rejects())
    said = [row["content"] for (file, _), row in sorted(rejects.items()) if file == "log/e.jsonl"]
    assert said == list(CONTENTS.values())

    verdicts = [judge_item_line(line) for _, line in lines_of(table)]
    items = {v.row["app"]: v.row for v in verdicts if isinstance(v, Verdict) and v.row is not None}
    expected = Counter[str]()
    unknown: dict[tuple[str, str], list[Place]] = defaultdict(list)
    kept: list[tuple[Any, ...]] = []
    for place, line in lines_of(log):
        verdict = judge_log(line)
        if verdict == BLANK:
            expected["filtered/blank"] += 1
        elif verdict.row is None:
            check_reject(rejects.pop(place), line, verdict.reasons)
        elif verdict.row["how"] not in ("get", "buy"):
            expected["filtered/not_positive"] += 1
        elif verdict.row["what"] not in items:
            unknown[verdict.row["who"], verdict.row["what"]].append(place)
        else:
            kept.append(tuple(verdict.row.values()))
    for (who, what), places in unknown.items():
        reject = rejects.pop(min(places))
        found = (reject["reason"], reject["lines"], reject["content"])
        assert found == ("unknown_item", len(places), f"{who}\t{what}")
    for place, line in lines_of(table):
        verdict = judge_item_line(line)
        if isinstance(verdict, Verdict) and verdict.row is None:
            check_reject(rejects.pop(place), line, {f"items/{reason}" for reason in verdict.reasons})
    assert rejects == {}

    expected["filtered/duplicate"] = len(kept) - len(set(kept))
    counts = built.manifest["counts"]
    assert {name: counts[name] for name in expected} == expected
    assert counts["lines/read"] == len(lines_of(log))
    assert counts["lines/kept"] == len(set(kept))
    assert counts["lines/read"] == counts["lines/kept"] + counts["lines/filtered"] + counts["lines/rejected"]
    assert counts["lines/rejected"] > 5_000
    smallest = {"log": min(what for _, what in unknown), "table": min(items)}
    assert built.manifest["ids_to_compare"] == {"unknown_item": smallest}
    pairs = [(e["query_id"][0].decode(), e["item_id"][0].decode()) for s in SPLITS for e in built.examples(s)]
    assert sorted(pairs) == sorted({(who, what) for who, what, *_ in kept})
    found = built.entities("items")
    assert {name: row["feature/tags"] or [] for name, row in found.items()} == {n: r["tags"] for n, r in items.items()}
    assert {name: row["feature/price"] for name, row in found.items()} == {n: r["price"] for n, r in items.items()}


SPLITS = ("train", "validation", "test")


def check_reject(reject: Json, line: bytes, reasons: Any) -> None:
    """The reason is one of the oracle's, and the content is what the line says."""
    reason = reject["reason"].split(" (")[0]  # without its column
    assert reason in reasons, (reject, line[:300])
    assert reject["lines"] == 1
    if reason.removeprefix("items/") in ("not_json", "wrong_type", "invalid_utf8"):
        assert reject["content"] == shown(line.removesuffix(b"\r"))
    elif reason == "items/bad_id":
        assert "content" not in reject
    else:
        row = read(line, LOG_COLUMNS)
        assert isinstance(row, Verdict)
        assert reject["content"] == shown(json.dumps(row.row, ensure_ascii=False).encode())


def shown(content: bytes) -> str:
    return content[:4096].decode("utf-8", "backslashreplace")
