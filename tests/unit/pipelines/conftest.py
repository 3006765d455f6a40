"""What a reader makes of a file, a verb's arguments without the verb, exports to publish, and what can't be deleted."""

import os
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from formats import COLUMNS, Read, Rows

import pipelines.publish
import pipelines.rollback
from features.spec.file import load_spec
from features.spec.sources import Source
from pipelines.aggregation.input_files import find_files, ranges_of
from pipelines.aggregation.reading import read_batches
from pipelines.cli import dispatch
from stage.command_line import run_command
from stage.errors import StageError
from stage.manifest import Manifest, describe_files
from stage.parser import Parser


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """`read(name, content, **keys of the source)` -> rows, their places, (place, reason) of bad lines.

    `left`: so many bytes are still there when the file, once found, is read.
    """

    def run(
        name: str, content: bytes, left: int | None = None, **keys: Any
    ) -> tuple[Rows, list[int], list[tuple[int, str]]]:
        (tmp_path / name).write_bytes(content)
        source = Source(path=name, **keys)
        files = find_files(name, str(tmp_path), source=source, key="k", first_number=0, cure=None)
        (tmp_path / name).write_bytes(content[:left])
        found = [batch for part in ranges_of(files) for batch in read_batches(part, COLUMNS)]
        rows = [row for batch in found for row in batch.rows.to_pylist()]
        places = [place for batch in found for place in batch.places.tolist()]
        return rows, places, [(batch.first_place + bad.offset, bad.reason) for batch in found for bad in batch.bad]

    return run


@pytest.fixture
def refused(read: Read, tmp_path: Path) -> Callable[..., str]:
    """What is said of a file, with the temporary directory as TMP."""

    def run(name: str, content: bytes, **keys: Any) -> str:
        with pytest.raises(StageError) as caught:
            read(name, content, **keys)
        return str(caught.value).replace(str(tmp_path), "TMP")

    return run


class Parsed(Exception):  # noqa: N818  (nothing went wrong)
    """The arguments were taken."""


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], tuple[Namespace, list[str]]]:
    """What a verb's parser makes of its arguments, and which it doesn't know; the verb isn't run."""
    parse = Parser.parse_known_args

    def stop(parser: Parser, args: Any = None, namespace: Any = None) -> None:
        raise Parsed(*parse(parser, args, namespace))

    monkeypatch.setattr(Parser, "parse_known_args", stop)

    def find(arguments: list[str]) -> tuple[Namespace, list[str]]:
        with pytest.raises(Parsed) as stopped:
            dispatch(arguments)
        values, left = stopped.value.args
        return values, left

    return find


@pytest.fixture
def make_export(tmp_path):
    """`make_export(name, data_end, **options)`: a directory with an export's manifest, and files that say the name."""

    spec = load_spec("debian").model_dump(mode="json")

    def make(name, data_end=None, **more):
        directory = tmp_path / "exports" / name
        (directory / "variables").mkdir(parents=True)
        (directory / "saved_model.pb").write_text(f"graph of {name}")
        (directory / "variables" / "variables.index").write_text(f"index of {name}" * 1000)
        files = describe_files(str(directory))
        options = {"data_end": data_end, "model": f"/models/{name}"} | more
        inputs = {"model": f"digest of {name}"}
        Manifest(stage="export", run_id=name, spec=spec, job_options=options, inputs=inputs, files=files).write(
            str(directory)
        )
        return directory

    return make


@pytest.fixture
def base(tmp_path):
    return tmp_path / "published"


@pytest.fixture
def publish(make_export, tmp_path, base, capsys):
    """`publish(export, *flags)`: exit code, stdout and stderr; an export by its name is made if it isn't there."""

    def run(export, *flags):
        directory = tmp_path / "exports" / export
        if not directory.exists():
            make_export(export)
        return _ran(pipelines.publish, capsys, "--export", directory, "--to", base, *flags)

    return run


@pytest.fixture
def roll_back(base, capsys):
    """`roll_back(*flags)`: as `publish`."""
    return lambda *flags: _ran(pipelines.rollback, capsys, "--to", base, *flags)


def _ran(verb, capsys, *arguments):
    code = run_command(verb.main, [str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def make_undeletable() -> Callable[[Path], None]:
    """`make_undeletable(directory)`: one nested so deep that the system takes no path to the last, not even root's."""

    def make(directory: Path) -> None:
        directory.mkdir()
        above = os.open(directory, os.O_RDONLY)
        for _ in range(17):
            os.mkdir("d" * 250, dir_fd=above)
            below = os.open("d" * 250, os.O_RDONLY, dir_fd=above)
            os.close(above)
            above = below
        os.close(above)

    return make
