"""The reasons and filters that docs/data.md names are those of a build: each meets a line here, and no other does."""

import json
import re
from pathlib import Path
from typing import Any

from json_lines import json_lines

from pipelines.aggregation.lines_to_shuffle import OVER_MAX_LINES

Json = dict[str, Any]
DATA = (Path(__file__).parents[2] / "docs/data.md").read_text()


def _line(**other: Any) -> bytes:
    line = {"who": "u1", "what": "a1", "how": "get", "when": 5}
    return json.dumps({name: value for name, value in (line | other).items() if value is not None}).encode()


LINES = [
    *(b"", b"{", _line(who="u?").replace(b"?", b"\xff"), _line(when="soon")),  # none of them is a row
    *(_line(who=""), _line(what=""), _line(how=""), _line(who="u\n1"), _line(what="a\n1"), _line(when=-1)),
    *(_line(when=None), _line(what="gone"), _line(how="see"), _line(when=100), _line(), _line()),
    *(_line(who=f"u{n % 9}", what=f"a{n % 20}", when=10 + n % 90) for n in range(180)),
    *(_line(who="u1", what=f"a{n}", when=when) for n in range(20) for when in (6, 96)),
]
CSV = b'who,what,how,when\nu1,a1,get\nu1,"a1,get,5\nu1,a\r1,get,5\nu1,a\x001,get,5\nwho,what,how,when\n'
SPEC: Json = {
    "name": "reasons",
    "sources": {
        "interactions": {
            "path": "log/*", "query_id": "who", "item_id": "what", "event": "how", "timestamp": "when",
            "positive_events": ["get"], "quoted_newlines": False,
        },
        "items": {"path": "apps", "id": "id", "format": "jsonl"},
        "queries": {"path": "users", "id": "id", "format": "jsonl"},
        "max_reject_ratio": 0.9,
    },
    "query": {"features": {"user": {"kind": "id"}, "like": {"kind": "vector", "size": 1, "column": "look"}}},
    "item": {"features": {"app": {"kind": "id"}, "look": {"kind": "vector", "size": 1}}},
    "split": {
        "method": "time", "test_start": "1970-01-01T00:01:30Z", "validation_seconds": 10, "cold_items": 0.5,
        "max_train_pairs_per_query": 2, "train_fraction": 0.5,
    },
}  # fmt: skip


def test_reasons_and_filters_are_those_of_the_document(
    build: Any, write_raw: Any, listening_dataset: Any, tmp_path: Path
) -> None:
    rows = {name: [{"id": f"{name[0]}{n}", "look": [n]} for n in range(20)] for name in ("apps", "users")}
    files = {name: json_lines([*good, {}, {"id": "x", "look": [1, 2]}]) for name, good in rows.items()}
    files |= {"log/a.jsonl": b"\n".join(LINES), "log/b.csv": CSV}
    raw = write_raw(tmp_path / "raw", files)
    built = build(
        tmp_path / "dataset", SPEC, "--data-start", "1970-01-01", "--data-end", "1970-01-01T00:01:40", raw=raw
    )
    assert built.code == 0, built.error

    (table,) = re.findall(r"^\| reason \|.*?\n\n", DATA, re.DOTALL | re.MULTILINE)
    documented = re.findall(r"`(.*?)`", "".join(re.findall(r"^\| (`[^|]*`) \|", table, re.MULTILINE)))
    assert sorted(documented) == sorted(
        re.sub(r"\((when|look)\)", "(COLUMN)", name) for name in built.manifest["rejected"]
    )

    (filters,) = re.findall(r"^Filters, with their keys: (.*?)\.\n", DATA, re.DOTALL | re.MULTILINE)
    documented = re.findall(r"`(.*?)`", re.sub(r"\(.*?\)|with\s`session`", "", filters, flags=re.DOTALL))
    # A line has no history in session mode alone; there test_skew.py has a user with too many lines.
    counts = [*built.manifest["counts"], *listening_dataset.manifest["counts"], OVER_MAX_LINES]
    assert sorted(documented) == sorted(
        {name.removeprefix("filtered/") for name in counts if name.startswith("filtered/")}
    )
