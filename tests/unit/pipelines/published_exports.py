"""Exports to publish, and what lies under the directory of published models."""

from stage.command_line import run_command
from stage.manifest import Manifest


def ran(main, *arguments, capsys):
    code = run_command(main, [str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def published(base):
    """Number -> the export whose graph lies there."""
    return {
        int(path.name): (path / "saved_model.pb").read_text().removeprefix("graph of ")
        for path in base.iterdir()
        if path.name.isdigit()
    }


def contents(directory):
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def made_anew(export):
    """As by an export that is repeated: another run, the same content."""
    manifest = Manifest.find(str(export))
    manifest.model_copy(update={"run_id": "again", "created": "later"}).write(str(export))
