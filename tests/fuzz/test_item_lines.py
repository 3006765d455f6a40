"""Broken lines of an item table: each row ends as docs/data.md says, its features cleaned."""

import random

import pyarrow as pa
import pytest
from broken_lines import fuzz, item_row
from line_oracle import BLANK, judge_item_line

from features.entities import table_columns, to_entities
from features.ids import valid_ids
from features.parsing.json_lines import parse_lines
from features.spec.features import Side
from features.spec.sources import TableSource

SOURCE = TableSource(path="items/*", id="app", title="title")
SIDE = Side.model_validate(
    {
        "features": {
            "app": {"kind": "id"},
            "kind": {"kind": "categorical"},
            "tags": {"kind": "multivalued"},
            "price": {"kind": "numeric"},
        }
    }
)


def fates(block: bytes) -> tuple[dict[int, object], int]:
    """Byte -> why a line was rejected, the column left out, or its entity; and the blank lines."""
    parsed = parse_lines(block, table_columns(SOURCE, SIDE))
    found: dict[int, object] = {bad.offset: bad.reason.split(" (")[0] for bad in parsed.bad}
    valid = valid_ids(parsed.rows.column("app")).to_pylist()
    entities = iter(to_entities(parsed.rows.filter(pa.array(valid, pa.bool_())), SOURCE, side=SIDE).to_pylist())
    for offset, is_valid in zip(parsed.offsets.tolist(), valid, strict=True):
        assert offset not in found
        found[offset] = next(entities) if is_valid else "bad_id"
    return found, parsed.blank


def as_entity(row: dict[str, object]) -> dict[str, object]:
    features = {f"feature/{name}": row[name] for name in ("kind", "tags", "price")}
    return {"id": row["app"], "title": row["title"], "train_count": 0, "full_train_count": 0} | features


@pytest.mark.parametrize("size", [1, 300])
def test_every_line_of_a_broken_table_ends_as_documented(size):
    lines = fuzz(item_row, lines=12_000 if size > 1 else 1_000, seed=size)
    random.Random(size).shuffle(lines)
    ends = []
    for first in range(0, len(lines), size):
        block, offset = lines[first : first + size], 0
        found, blank = fates(b"\n".join(block) + b"\n")
        for line in block:
            verdict, fate = judge_item_line(line), found.pop(offset, None)
            if isinstance(verdict, str):
                assert fate is None, line
            elif isinstance(fate, dict):
                assert verdict.row is not None, f"{line[:300]!r}: expected {verdict}, found {fate}"
                assert fate == as_entity(verdict.row), line[:300]
            else:
                assert fate in verdict.reasons, f"{line[:300]!r}: expected {verdict}, found {fate}"
            blank -= fate is None
            offset += len(line) + 1
            ends.append(fate if isinstance(fate, str) else "kept" if fate else BLANK)
        assert (found, blank) == ({}, 0)
    assert len(ends) == len(lines)
    assert set(ends) == {"not_json", "wrong_type", "invalid_utf8", "bad_id", "kept", BLANK}
    assert ends.count("kept") < len(lines) / 2 < len(lines) - ends.count(BLANK)
