"""Commands run in this process, and what a build left, read without any of the code that wrote it."""

import contextlib
import gzip
import io
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from example_files import read_examples

from stage.command_line import run_command

Json = dict[str, Any]


def run(main: Any, *arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command; another process would import for seconds."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = run_command(main, [str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


@dataclass(frozen=True)
class Built:
    """A run of build-dataset or aggregate-spark: how it ended, and its directory."""

    directory: Path
    code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """What it said last; progress comes before."""
        return self.stderr.splitlines()[-1]

    @cached_property
    def manifest(self) -> Json:
        return json.loads((self.directory / "manifest.json").read_text())

    @property
    def content(self) -> dict[str, str]:
        return self.manifest["content"]

    def files(self, folder: str) -> list[Path]:
        return [self.directory / f["name"] for f in self.manifest["files"] if f["name"].startswith(f"{folder}/")]

    def examples(self, folder: str) -> list[Json]:
        """Every record of train, validation, test or items: key -> its list."""
        found = read_examples(self.files(folder))
        assert len(found) == sum(f["records"] for f in self.manifest["files"] if f["name"].startswith(f"{folder}/"))
        return found

    def entities(self, kind: str) -> dict[str, Json]:
        """Id -> row of entities/queries-* or items-*."""
        files = [file for file in self.files("entities") if file.name.startswith(kind)]
        rows = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
        assert len({row["id"] for row in rows}) == len(rows)
        return {row["id"]: row for row in rows}

    def vocabulary(self, name: str) -> list[str]:
        """Terms in the order of their codes."""
        return (self.directory / "transform/transform_fn/assets" / name).read_text().splitlines()

    def rejects(self) -> list[Json]:
        return [json.loads(line) for file in self.files("rejects") for line in gzip.open(file)]

    def mutual_information(self) -> Json:
        return json.loads((self.directory / "mutual_information.json").read_text())
