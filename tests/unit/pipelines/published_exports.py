"""Exports to publish, and what lies under the directory of published models."""

from manifests import rewrite

from features.spec.file import load_spec
from pipelines import publish
from stage.command_line import run_command
from stage.manifest import Manifest

SPEC = load_spec("debian").model_dump(mode="json")


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
    rewrite(export, run_id="again", created="later")


def publish_export(base, name, *, model=None, data_end=None, items_end=None, spec=SPEC, pseudonyms=None):
    """Publishes an export of a model that holds its manifest alone."""
    directory = base.parent / f"export-{name}"
    options = {"data_end": data_end} | ({} if items_end is None else {"items_end": items_end})
    inputs = {"model": f"digest of {name}"} | ({} if pseudonyms is None else {"pseudonyms": pseudonyms})
    if model is not None:
        options["model"] = str(model)
        inputs["model"] = Manifest.read(str(model), "model").content_digest
    made = Manifest(stage="export", run_id=name, spec=spec, job_options=options, inputs=inputs, content={"items": name})
    made.write(str(directory))
    assert run_command(publish.main, ["--export", str(directory), "--to", str(base)]) == 0
