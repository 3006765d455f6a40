"""The spec that README shows first builds from the log and the table that it describes, as they are."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

README = Path(__file__).parents[2] / "README.md"


def test_it_builds_from_what_readme_describes(build: Any, write_raw: Any, tmp_path: Path) -> None:
    text = README.read_text(encoding="utf-8")
    (spec,) = re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    header = "sku,name,brand,category,price,tags"
    line = {"user": "u1", "product": "p7", "time": "2026-01-31T12:00:00Z"}
    assert f"`{header}`" in text
    assert f"`{json.dumps(line)}`" in text
    products = [f'p{n},Red shoe {n},"b{n % 3}",shoes,{n}.5,red|sale' for n in range(40)]
    events = [line | {"user": f"u{n % 25}", "product": f"p{n * 7 % 40}"} for n in range(200)]
    raw = write_raw(
        tmp_path / "shop",
        {
            "products.csv": "\n".join([header, *products]).encode(),
            "events.jsonl": "\n".join(map(json.dumps, events)).encode(),
        },
    )
    built = build(tmp_path / "dataset", yaml.safe_load(spec), "--shards", "1", raw=raw)
    assert built.code == 0, built.stderr
    assert "warning" not in built.stderr
    counts = built.manifest["counts"]
    assert (counts["lines/read"], counts["lines/kept"]) == (200, 200)
    # Users and products have periods of 25 and 40, together of 200: every line is a pair of its own.
    assert sum(counts[f"examples/{split}"] for split in ("train", "validation", "test")) == 200
    assert sorted(built.vocabulary("item_tags")) == ["red", "sale"]
    assert built.entities("items")["p7"]["title"] == "Red shoe 7"
