"""Small made-up logs with everything in them that can go wrong, and the specs for them."""

import json
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa
from json_lines import json_lines

from features.hashing import hash_texts

Json = dict[str, Any]


def _line(who: str = '"u1"', what: str = '"app1"', *, how: str = '"get"', when: str = "1") -> bytes:
    return f'{{"who": {who}, "what": {what}, "how": {how}, "when": {when}}}'.encode()


BAD_LINES = [
    *(b"", b" \t", b"{", b"nonsense", b"null", b"[1, 2]", b'"text"', b"{}"),
    *(_line()[:-1], _line() + b' {"who": "u2"}', _line(who='"u1", "who": "u2"'), b" " + _line() + b" \r"),
    *(_line().replace(b"u1", b"u\xff"), _line(who="1.5"), _line(who="true"), _line(what='["app1"]')),
    *(_line(how="3.5"), _line(when='"1"'), _line(when="-1"), _line(when="1e300"), _line(how="null")),
    *(_line(who='""'), _line(who='"u\\n1"'), _line(who=f'"{"u" * 1025}"'), _line(who="null"), _line(what='"\\u007f"')),
    *(b'{"what": "app1", "how": "get"}', b'{"who": "u1", "how": "get"}', b'{"who": "u1", "what": "app1", "when": 1}'),
]
"""Every way for a line to be bad, or to look so."""


@dataclass(frozen=True)
class Shop:
    """A small log of users and apps with everything in it that can go wrong with a line, and the spec for it."""

    spec: Json
    files: dict[str, bytes]
    """Path below the raw directory -> its content, decompressed."""


def make_shop() -> Shop:
    draw = random.Random(11)
    words = ["Red", "red", "blue", "Green-ish", "sky", "sea", "über", "X1"]
    topics = ["art", "bio", "car", "dog", "eel"]

    def app(number: int) -> Json:
        row: Json = {"item_id": f"app{number}", "title": " ".join(draw.choices(words, k=draw.randrange(1, 5)))}
        row["tags"] = draw.choices(topics, k=draw.randrange(4))
        row["price"] = draw.choice([0, 1, 2.5, 7, 7, 1e6])
        if number % 6:
            row["look"] = [number, -0.1 * number, (number - 9) ** 2] if number % 5 else []
        return row

    items = [app(number) for number in range(36)]
    items[3] |= {"price": None, "tags": None, "title": ""}
    items[4] |= {"tags": ["art", None, "", "new\nline", "art"], "title": "two\tparts", "ignored": {"deep": [1]}}
    items[5] = {"item_id": 5}
    queries = [{"user": f"u{number}", "interests": draw.choices(topics, k=draw.randrange(3))} for number in range(45)]
    for number in range(0, 45, 2):
        queries[number]["taste"] = [0.25, number]
    queries += [{"user": 7, "interests": ["seven", "dog"]}, {"user": "nobody", "interests": ["unseen"]}]

    lines = []
    for _ in range(330):
        # The last items stay cold; a user beyond the table is known by id alone.
        user: str | int = draw.choice([f"u{min(int(draw.expovariate(0.08)), 60)}", f"u{draw.randrange(60)}", 7])
        item: str | int = draw.choice([f"app{min(int(draw.expovariate(0.15)), 29)}", f"app{draw.randrange(30)}", 5])
        line = {"who": user, "what": item, "how": draw.choice(["get", "get", "buy", "see"]), "when": draw.randrange(99)}
        lines.append(json.dumps(line).encode())
        if draw.random() < 0.1:
            lines.append(lines[draw.randrange(len(lines))])  # a duplicate, or one to be
        if draw.random() < 0.1:
            lines.append(json.dumps(line | {"when": draw.choice([None, 12.5, 100])}).encode())
    lines[100:100] = [
        json.dumps({"who": f"u{n}", "what": "gone", "how": "get", "when": n % 2}).encode() for n in range(4)
    ]
    lines[200:200] = [json.dumps({"who": "u1", "what": "gone", "how": "get", "when": n}).encode() for n in range(3)]
    for line in BAD_LINES:
        lines.insert(draw.randrange(len(lines)), line)
    cuts = [0, 90, 91, 250, len(lines)]
    files = {f"log/{n}.jsonl.gz": b"\n".join(lines[a:b]) + b"\n" for n, (a, b) in enumerate(pairwise(cuts))}
    files["log/3.jsonl.gz"] = files["log/3.jsonl.gz"].rstrip(b"\n")
    spec = {
        "name": "shop",
        "sources": {
            "interactions": {
                "path": "log/*", "query_id": "who", "item_id": "what", "event": "how", "timestamp": "when",
                "positive_events": ["get", "buy"],
            },
            "items": {"path": "items.jsonl", "title": "title"},
            "queries": {"path": "queries.jsonl", "id": "user"},
            "max_reject_ratio": 0.2,
        },
        "query": {"features": {
            "user": {"kind": "id"},
            "interests": {"kind": "multivalued", "vocabulary": "topic", "max_values": 2, "min_count": 2},
            "taste": {"kind": "vector", "size": 2},
        }},
        "item": {"features": {
            "app": {"kind": "id"},
            "tags": {"kind": "multivalued", "vocabulary": "topic", "min_count": 2},
            "words": {"kind": "text", "column": "title", "ngrams": [1, 2], "top_k": 9, "max_values": 4},
            "price": {"kind": "numeric", "log1p": True},
            "look": {"kind": "vector", "size": 3},
        }},
        "split": {"validation": 0.15, "test": 0.25, "seed": 3},
    }  # fmt: skip
    return Shop(spec, files | {"items.jsonl": json_lines(items), "queries.jsonl": json_lines(queries)})


@dataclass(frozen=True)
class Pages(Shop):
    """Links from page to page, day by day, without a bad line."""

    window: tuple[str, str] = ("2024-01-01T06:00", "2024-01-04T12:00")

    @property
    def flags(self) -> tuple[str, ...]:
        return ("--data-start", self.window[0], "--data-end", f"{self.window[1]}Z")


def make_pages() -> Pages:
    draw = random.Random(5)
    items = [
        {"page": n, "tags": draw.sample(["x", "y", "z"], draw.randrange(3)), "kind": draw.choice("ab")}
        for n in range(25)
    ]
    files = {}
    for day in range(5):
        lines = []
        for _ in range(130):
            query, item = (min(int(draw.expovariate(0.2)), 19) for _ in range(2))
            line = {"query_id": query, "item_id": item, "event": "link", "at": 1_704_067_200_000 + 86_400_000 * day}
            line["at"] += draw.randrange(24) * 3_600_000
            lines += [line] * draw.choice([1, 1, 2])
        files[f"log/2024-01-0{day + 1}/part.jsonl.gz"] = json_lines(lines)
    # The days after the window hold nothing that could be read.
    files |= {"log/2024-01-05/part.jsonl.gz": b"not read", "items/2024-01-06/items.jsonl": b"not read"}
    files |= {"items/2024-01-02/items.jsonl": json_lines(items), "items/2023-12-30/items.jsonl": b"not read"}
    spec = {
        "name": "pages",
        "sources": {
            "interactions": {"path": "log/{date}/*", "timestamp": "at", "timestamp_unit": "ms"},
            "items": {"path": "items/{date}/*.jsonl", "id": "page"},
            "queries": "items",
        },
        "query": {"features": {
            "page": {"kind": "id", "vocabulary": "page"}, "tags": {"kind": "multivalued", "vocabulary": "tag"}
        }},
        "item": {"features": {
            "page": {"kind": "id", "vocabulary": "page"}, "tags": {"kind": "multivalued", "vocabulary": "tag"},
            "kind": {"kind": "categorical"},
        }},
        "split": {
            "method": "time",
            "validation_start": "2024-01-03T00:00:00+00:00", "test_start": "2024-01-03T12:00:00+00:00",
            "max_train_pairs_per_query": 9, "train_fraction": 0.7, "seed": 4,
        },
        "mutual_information": {"weighting": "train_count"},
    }  # fmt: skip
    return Pages(spec, files)


@dataclass(frozen=True)
class Listening(Shop):
    """Users who play songs: ties, repeats, duplicates, an unknown song, and one that only the test split plays."""

    lines: list[Json]

    def examples(self) -> Iterator[tuple[str, str, str, list[str], Json]]:
        """By a plain loop: (split, user, song, songs of the history, latest last; the line, of equals the first)."""
        session = self.spec["session"]
        by_user: dict[str, dict[tuple[int, int, str], Json]] = defaultdict(dict)
        for line in self.lines:
            if line["how"] == "play" and line["what"] != "gone" and line["when"] is not None:
                tie = int(hash_texts(pa.array([line["what"]]), 0x71E)[0])
                by_user[line["who"]].setdefault((line["when"], tie, line["what"]), line)
        for user, played in by_user.items():
            for (now, _, song), line in played.items():
                history: list[str] = []
                later = now
                for then, _, other in sorted(played, reverse=True):
                    if then < now:
                        if later - then > session["gap"] or now - then > session["window"]:
                            break
                        history.insert(0, other)
                        later = then
                if history:
                    split = "test" if now >= 800 else "validation" if now >= 600 else "train"
                    yield split, user, song, history[-session["max_history"] :], line


def _context(draw: random.Random, *, planted: bool) -> Json:
    """What a line says beside user, song and time; nothing, now and then."""
    if planted:
        return {"on": "planted", "mood": ["planted"], "search": "planted words", "volume": 1e6, "seconds": 1e6}
    said = {
        "on": draw.choice(["phone", "tv", "phone", "", None, "wa\ttch"]),
        "mood": draw.choices(["calm", "Loud", "sad", "", f"odd{draw.randrange(9)}"], k=draw.randrange(4)),
        "search": draw.choice(["Quiet SONGS", "quiet, evening", "İstanbul songs", "!", None]),
        "volume": draw.choice([draw.uniform(0, 9), draw.randrange(9), None]), "seconds": draw.choice([3, 60, 1e39, -5]),
    }  # fmt: skip
    return {name: value for name, value in said.items() if draw.random() < 0.9}


def make_listening() -> Listening:
    draw, said, lines = random.Random(3), random.Random(4), list[Json]()
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
    lines = [line | _context(said, planted=line["what"] == "planted") for line in lines]
    songs = [{"item_id": f"s{n}", "genre": "ab"[n % 2]} for n in range(20)] + [{"item_id": "planted", "genre": "a"}]
    users = [{"who": f"u{n}", "country": "xy"[n % 2]} for n in range(10)]
    files = {"log/0.jsonl.gz": lines[:100], "log/1.jsonl": lines[100:], "items.jsonl": songs, "users.jsonl": users}
    spec: Json = {
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
        "session": {
            "max_history": 4, "gap": 60, "window": 150,
            "context": {"features": {
                "device": {"kind": "categorical", "column": "on"}, "volume": {"kind": "numeric"},
                "mood": {"kind": "multivalued", "max_values": 2, "min_count": 3},
                "search": {"kind": "text", "ngrams": [1, 2], "top_k": 5, "max_values": 4},
                "seconds": {"kind": "numeric", "log1p": True},
            }},
        },
        "split": {
            "method": "time",
            "validation_start": "1970-01-01T00:10:00Z", "test_start": "1970-01-01T00:13:20Z",
        },
        "model": {"embedding_dim": 8, "hidden": [16, 8]},
        "train": {"epochs": 2, "batch_size": 32, "input_streams": 2},
    }  # fmt: skip
    return Listening(spec, {name: json_lines(rows) for name, rows in files.items()}, lines)
