"""What a build reads: every file, found before the graph is built, and what follows from their sizes."""

import os
import posixpath
from dataclasses import dataclass

from features.spec import Spec, TableSource
from features.split import parse_instant
from pipelines.aggregation.partitions import log_patterns, table_pattern
from pipelines.aggregation.reading import InputFile, Match, find_files
from stage.errors import StageError, UsageError
from stage.manifest import digest

BYTES_PER_SHARD = 64 << 20
"""Of the log, decompressed; a shard's lines and examples are held in memory once."""
GZIP_RATIO = 6
"""JSON lines to their gzip, about."""
SHARDS_STEP = 8
"""Shards come in multiples of the trainer's usual number of input streams."""
MEMORY_PER_BYTE = 2.0
"""Peak memory of a local build per byte of decompressed input, about, above BASE_MEMORY."""
BASE_MEMORY = 1_900_000_000


@dataclass(frozen=True)
class Inputs:
    """The files of a build."""

    log: list[InputFile]
    tables: dict[str, list[InputFile]]
    """items, and queries if they have a table of their own."""

    @property
    def names(self) -> dict[int, tuple[str, str]]:
        """File number -> (its name, and what a place in it counts: byte or row)."""
        files = [*self.log, *(file for table in self.tables.values() for file in table)]
        return {file.number: (file.name, "row" if file.format == "parquet" else "byte") for file in files}

    @property
    def digest(self) -> str:
        """Of the files' names and sizes: tells whether a build has read the same."""
        files = [*self.log, *(file for table in self.tables.values() for file in table)]
        return digest([[file.name, file.size] for file in files])

    def shards(self, wanted: int | None) -> int:
        """How many shards to make.

        Raises:
            UsageError: If the wanted number is none.
        """
        needed = -(-_decompressed(self.log) // BYTES_PER_SHARD)
        return shards_of(wanted, SHARDS_STEP * max(1, -(-needed // SHARDS_STEP)))

    def check_memory(self) -> None:
        """Fails before a local build starts that won't fit.

        Raises:
            StageError: If the input needs more memory than this machine has free.
        """
        tables = [file for table in self.tables.values() for file in table]
        needed = BASE_MEMORY + MEMORY_PER_BYTE * _decompressed([*self.log, *tables])
        free = _free_memory()
        if free is not None and needed > free:
            raise StageError(
                f"this input needs about {needed / 2**30:.0f} GiB of memory for a build on one machine, which has "
                f"{free / 2**30:.0f} GiB free: the local runner keeps shuffles in memory. Run it on an engine that "
                "spills: --runner=DataflowRunner, SparkRunner or FlinkRunner"
            )


def shards_of(wanted: int | None, default: int) -> int:
    """How many shards to make.

    Raises:
        UsageError: If the wanted number is none.
    """
    if wanted is not None and wanted < 1:
        raise UsageError(f"--shards: expected at least 1, got {wanted}")
    return wanted or default


def window_of(data_start: str | None, data_end: str | None) -> tuple[int | None, int | None]:
    """The window of the job options, UTC microseconds.

    Raises:
        UsageError: If a time isn't ISO 8601, or the end isn't after the start.
    """
    start = parse_instant(data_start, "--data-start") if data_start is not None else None
    end = parse_instant(data_end, "--data-end") if data_end is not None else None
    if start is not None and end is not None and start >= end:
        raise UsageError(f"--data-end: expected a time after --data-start {data_start}, got {data_end}")
    return start, end


def find_inputs(spec: Spec, raw: str | None, *, start: int | None, end: int | None, match: Match) -> Inputs:
    """Finds every file of a build.

    Args:
        spec: The dataset's spec.
        raw: Directory of relative paths.
        start: First instant of the window, UTC microseconds.
        end: The instant after it, UTC microseconds.
        match: Finds files.

    Raises:
        StageError: If a source has no files.
        UsageError: If a path holds {date} and the window is open.
    """
    sources = spec.sources
    log: list[InputFile] = []
    for pattern in log_patterns(sources.interactions.path, start=start, end=end):
        key, format_ = "sources.interactions.path", sources.interactions.format
        log += find_files(pattern, raw, key=key, format_=format_, first_number=len(log), match=match)
    tables = {}
    number = len(log)
    for name, source in (("items", sources.items), ("queries", sources.queries)):
        if isinstance(source, TableSource):
            key = f"sources.{name}.path"
            full = source.path if "://" in source.path else posixpath.join(raw or "", source.path)
            pattern = table_pattern(source.path, full, end=end, key=key, match=match)
            tables[name] = find_files(pattern, raw, key=key, format_=source.format, first_number=number, match=match)
            number += len(tables[name])
    return Inputs(log, tables)


def _decompressed(files: list[InputFile]) -> int:
    return sum(file.size * (GZIP_RATIO if file.compressed or file.format == "parquet" else 1) for file in files)


def _free_memory() -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            fields = dict(line.split(":") for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
        return pages * os.sysconf("SC_PAGE_SIZE") or None
