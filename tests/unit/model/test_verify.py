"""`--verify`: a damaged file that is as long as before is noticed in all that a command reads."""

import shutil

import pytest
from manifests import rewrite

from model.api import StageError, load_dataset, load_model
from pipelines import publish
from pipelines.cli import dispatch
from stage.command_line import run_command
from stage.manifest import Manifest, describe_files

TRAIN = "train --dataset dataset --output out --set train.epochs=1"
COMMANDS = {
    f"{TRAIN} --warm-start champion": ["dataset", "champion"],
    f"{TRAIN} --published published": ["champion"],
    "evaluate --model run/model --dataset dataset --output out": ["dataset", "run/model"],
    "gate --model run/model --dataset dataset --published published": ["dataset", "run/model", "champion"],
    "export --model run/model --dataset dataset --output out": ["dataset", "run/model"],
    "report --run run --model champion --output out": ["run/dataset", "run/model", "champion"],
    "recommend --export export --query item-001": ["export"],
    "recommend-all --export export --known dataset --output out": ["export", "dataset"],
    "similar --export export --item item-001": ["export"],
}


@pytest.fixture
def whole(tiny_dataset, trained, tmp_path):
    """A dataset, a run, and a model that is published; the export of that holds nothing that could be loaded."""
    for name in ("dataset", "run/dataset"):
        shutil.copytree(tiny_dataset.directory, tmp_path / name)
    for name in ("run/model", "champion"):
        shutil.copytree(trained, tmp_path / name)
    export = tmp_path / "export"
    # Another model than the run's, which isn't compared with itself.
    model = rewrite(tmp_path / "champion", content={"weights": "another's"})
    shutil.copytree(tmp_path / "champion" / "transform", export / "transform")
    Manifest(
        stage="export",
        run_id="one",
        spec=model.spec,
        job_options={"model": str(tmp_path / "champion")},
        inputs={"model": model.content_digest},
        content={"items": "3"},
        files=describe_files(str(export)),
    ).write(str(export))
    assert run_command(publish.main, ["--export", str(export), "--to", str(tmp_path / "published")]) == 0
    return tmp_path


@pytest.mark.parametrize(
    ("command", "read"),
    [
        pytest.param(command, one, id=f"{command.split()[0]}-{one}")
        for command, read in COMMANDS.items()
        for one in read
    ],
)
def test_a_damaged_file_that_is_as_long_as_before_is_noticed(whole, monkeypatch, capsys, command, read):
    path = whole / read / "transform" / "placeholder.txt"
    path.write_text("X" + path.read_text()[1:])
    monkeypatch.chdir(whole)
    capsys.readouterr()
    assert run_command(dispatch, [*command.split(), "--verify"]) == 1
    stage = Manifest.find(str(whole / read)).stage
    said = f"{read}/transform/placeholder.txt: its SHA-256 differs from the manifest's; make the {stage} again"
    assert capsys.readouterr().err.splitlines()[-1].removeprefix("error: ").removeprefix(f"{whole}/") == said
    assert not (whole / "out").exists()


@pytest.mark.parametrize(("load", "read"), [(load_dataset, "dataset"), (load_model, "run/model")])
def test_what_python_loads_is_compared_where_that_is_asked_for(whole, load, read):
    path = whole / read / "transform" / "placeholder.txt"
    path.write_text("X" + path.read_text()[1:])
    load(str(whole / read))
    with pytest.raises(StageError, match=r"placeholder\.txt: its SHA-256 differs"):
        load(str(whole / read), verify=True)
