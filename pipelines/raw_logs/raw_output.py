"""The raw directory: tables as gzipped JSON Lines in parts, and a manifest. The same lines give the same bytes."""

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from rich import box
from rich.table import Table

from pipelines.raw_logs.left_out import LeftOut
from stage.console import console
from stage.manifest import File, Manifest, new_run_id
from stage.output import check_own, finish_output, start_output, write_file

LINES_PER_PART = 100_000
"""Compressed files are read in parallel only if there are several."""


@dataclass
class RawOutput:
    """A raw directory that is being written."""

    directory: str
    run_id: str
    compression: int
    """zlib's level."""
    counts: dict[str, int] = field(default_factory=dict)
    """Table -> lines."""
    content: dict[str, str] = field(default_factory=dict)
    """Table -> SHA-256 of its lines, one after another, uncompressed."""
    files: list[File] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)
    """What of the inputs is in no table."""
    notes: list[str] = field(default_factory=list)
    """What the user should know about the input."""

    @classmethod
    def start(cls, directory: str, *, overwrite: bool, compression: int = 6) -> Self:
        """Makes the directory ready.

        Raises:
            StageError: If it is finished and must not be overwritten, holds other files, or can't be written.
        """
        run_id = new_run_id()
        start_output(directory, "raw", run_id=run_id, overwrite=overwrite)
        return cls(directory, run_id, compression)

    def write_rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes a table from rows, each a JSON object."""
        blocks = (b"".join(_json_line(rows[i]) for i in part) for part in line_ranges(len(rows)))
        self.write_blocks(table, blocks, lines=len(rows))

    def write_blocks(self, table: str, blocks: Iterable[bytes], *, lines: int) -> None:
        """Writes a table from finished lines.

        Args:
            table: What the part files are called, such as "interactions".
            blocks: The lines, `LINES_PER_PART` to a block, the last one shorter.
            lines: How many there are in all.

        Raises:
            StageError: If another run was started into the directory meanwhile.
        """
        parts = len(line_ranges(lines))
        content = hashlib.sha256()
        for part, block in enumerate(blocks):
            check_own(self.directory, run_id=self.run_id)
            content.update(block)
            name = f"{table}-{part:05d}-of-{parts:05d}.jsonl.gz"
            # gzip, as its wbits say, without a time in its header: the same content gives the same bytes.
            chunks = [zlib.compress(block, self.compression, wbits=31)]
            self.files.append(write_file(self.directory, name, chunks=chunks))
        self.counts[table] = lines
        self.content[table] = content.hexdigest()

    def finish(self, *, inputs: dict[str, str], options: dict[str, str | None]) -> None:
        """Writes the manifest: from here on the directory is whole.

        Args:
            inputs: File -> SHA-256 of what was read.
            options: What the command was told.

        Raises:
            StageError: If another run was started into the directory meanwhile.
        """
        manifest = Manifest(
            stage="raw",
            run_id=self.run_id,
            inputs=inputs,
            job_options=options,
            counts=self.counts,
            rejected=self.left_out.counts,
            content=self.content,
            files=sorted(self.files, key=lambda file: file.name),
        )
        finish_output(self.directory, manifest)

    def print_summary(self, *, as_json: bool) -> None:
        """Prints what was written and what was left out, to stdout."""
        left_out = self.left_out
        if as_json:
            found = {"output": self.directory, "counts": self.counts, "left_out": left_out.counts, "notes": self.notes}
            print(json.dumps(found, indent=1, sort_keys=True))
            return
        to_stdout = console()
        table = Table("", "lines", "first at", box=box.SIMPLE)
        table.columns[1].justify = "right"
        for name, count in _without_days(self.counts).items():
            table.add_row(name, f"{count:,}", "")
        for reason, count in sorted(left_out.counts.items()):
            table.add_row(f"left out: {reason}", f"{count:,}", left_out.first[reason])
        to_stdout.print(table)
        for note in self.notes:
            to_stdout.print(f"note: {note}")
        to_stdout.print(f"raw logs: {self.directory}", soft_wrap=True)


def _without_days(counts: Mapping[str, int]) -> dict[str, int]:
    """Table -> lines; a table that lies in directories by day once, with all its lines."""
    totals: dict[str, int] = {}
    for name, count in counts.items():
        table = name.rpartition("/")[2]
        totals[table] = totals.get(table, 0) + count
    return totals


def line_ranges(lines: int) -> list[range]:
    """The lines of each part."""
    return [range(start, min(start + LINES_PER_PART, lines)) for start in range(0, lines, LINES_PER_PART)]


def _json_line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
