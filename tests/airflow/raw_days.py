"""Raw logs in partitions by day: the real clicks where they are, else generated ones."""

import gzip
from dataclasses import dataclass
from pathlib import Path

from places import FULL_DATA

from pipelines.raw_logs import convert, generate

WIKISPEEDIA = FULL_DATA / "wikispeedia"
_LINES_A_DAY = 2000


@dataclass(frozen=True)
class RawDays:
    """A raw directory, and how it is retrained on."""

    directory: Path
    spec: str
    overrides: list[str]
    days: tuple[str, ...]
    """One after another, each with 13 days of log before it. On the last things go wrong."""


def wikispeedia(directory: Path) -> RawDays:
    """Clicks of July 2009."""
    convert.main(["wikispeedia", "--by-day", "--input", str(WIKISPEEDIA), "--output", str(directory)])
    return RawDays(directory, "wikispeedia-daily", [], ("2009-07-28", "2009-07-29", "2009-07-30", "2009-07-31"))


def generated(directory: Path) -> RawDays:
    """30 days from 2024-01-01. The generator's lines are in order of time but for duplicates of earlier ones.

    Two of them go well, one fewer than of real days: a day takes minutes.
    """
    lines = ["--interactions", str(30 * _LINES_A_DAY), "--queries", "1000", "--items", "400", "--seed", "1"]
    generate.main([*lines, "--output", str(directory)])
    (log,) = directory.glob("interactions-*")
    rows = gzip.decompress(log.read_bytes()).splitlines(keepends=True)
    for day in range(30):
        part = directory / f"date=2024-01-{day + 1:02d}" / "interactions-0.jsonl.gz"
        part.parent.mkdir()
        part.write_bytes(gzip.compress(b"".join(rows[day * _LINES_A_DAY : (day + 1) * _LINES_A_DAY])))
    overrides = [
        "sources.interactions.path=date={date}/interactions-*.jsonl.gz",
        "split.validation_start=null",
        "split.validation_seconds=86400",
        # Fewer than the spec has, to be quick.
        "query.features={user: {kind: id}, country: {kind: categorical}}",
        "item.features={app: {kind: id}, tags: {kind: multivalued}, price: {kind: numeric, log1p: true}}",
    ]
    return RawDays(directory, "synthetic", overrides, ("2024-01-26", "2024-01-27", "2024-01-28"))
