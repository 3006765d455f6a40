"""More than 20,000 broken lines of a log: each ends as docs/data.md says, at its place, whatever stands beside it."""

import random
from collections import Counter

import pytest
from broken_lines import fuzz, huge_lines, log_row
from line_oracle import BLANK, Verdict, judge_log_line

from features.data_window import DataWindow
from features.interactions import raw_columns, reject_bad_lines, validate_lines
from features.parsing.json_lines import parse_lines
from features.spec.features import Side
from features.spec.sources import InteractionSource

SOURCE = InteractionSource(path="log/*", query_id="who", item_id="what", event="how", timestamp="when")


def fates(block: bytes, first_place: int, *, needs_time: bool) -> tuple[dict[int, str | tuple], int]:
    """Place -> why it was rejected, the column left out, or (query, item, event, microseconds); and the blank lines."""
    parsed = parse_lines(block, raw_columns(SOURCE, Side()))
    places = first_place + parsed.offsets
    outcome = validate_lines(
        parsed.rows, places, source=SOURCE, window=DataWindow(), needs_time=needs_time, context=Side(), test_start=None
    )
    found: dict[int, str | tuple] = {}
    for table in (reject_bad_lines(parsed.bad, first_place), outcome.rejected):
        for row in table.to_pylist():
            assert row["place"] not in found
            found[row["place"]] = row["reason"].split(" (")[0]
    kept = outcome.kept
    micros = kept.column("timestamp").cast("int64").to_pylist()
    names = ("query_id", "item_id", "event", "place")
    for *row, place, time in zip(*(kept.column(name).to_pylist() for name in names), micros, strict=True):
        assert place not in found
        found[place] = (*row, time)
    assert not outcome.filtered
    return found, parsed.blank


def allows(verdict: Verdict | str, fate: str | tuple | None) -> bool:
    if isinstance(verdict, str):
        return fate is None
    if isinstance(fate, tuple):
        return verdict.row is not None and fate == tuple(verdict.row.values())
    return fate in verdict.reasons


def judge_blocks(lines: list[bytes], blocks: list[int], *, needs_time: bool) -> Counter[str]:
    """Holds every line to its verdict, in blocks of so many lines."""
    place, at, ends = 0, 0, Counter[str]()
    for size in blocks:
        block = lines[at : at + size]
        content = b"\n".join(block) + (b"\n" if at + size < len(lines) else b"")
        found, blank = fates(content, place, needs_time=needs_time)
        for line in block:
            verdict, fate = judge_log_line(line, needs_time=needs_time), found.pop(place, None)
            assert allows(verdict, fate), f"{line[:300]!r}: expected {verdict}, found {fate!r:.300}"
            blank -= fate is None
            ends["kept" if isinstance(fate, tuple) else fate or BLANK] += 1
            place += len(line) + 1
        assert (found, blank) == ({}, 0)
        at += size
    assert at >= len(lines)
    return ends


@pytest.mark.parametrize(("lines", "needs_time", "at_least"), [(36_000, True, 20_000), (4_000, False, 2_000)])
def test_every_line_of_a_broken_log_ends_as_documented(lines, needs_time, *, at_least):
    log = fuzz(log_row, lines=lines, seed=lines)
    draw, blocks = random.Random(lines), []
    while sum(blocks) < len(log):
        blocks.append(draw.choice([1, 2, 3, 17, 400, 4_000]))
    ends = judge_blocks(log, blocks, needs_time=needs_time)
    rejected = ends.total() - ends["kept"] - ends[BLANK]
    assert ends.total() == len(log)
    assert rejected > at_least
    assert ends["kept"] > at_least / 3
    expected = {"not_json", "wrong_type", "invalid_utf8", "missing_query_id", "missing_item_id", "missing_event"}
    expected |= {"bad_query_id", "bad_item_id", "bad_timestamp"} | ({"missing_timestamp"} if needs_time else set())
    assert set(ends) == expected | {"kept", BLANK}


def test_lines_longer_than_a_block():
    lines = [line for huge in huge_lines(log_row, size=4_500_000, seed=3) for line in (huge, b'{"who":"u1"}')]
    ends = judge_blocks(lines, [1] * len(lines), needs_time=False)
    assert ends == judge_blocks(lines, [len(lines)], needs_time=False)
