"""What `validate` says of a dataset, alone and beside yesterday's."""

import json

import pytest

from features.spec_file import load_spec
from pipelines import validate
from pipelines.validate import out_of_bounds
from stage.command_line import run_command
from stage.manifest import Manifest, describe_files

SPEC = load_spec("debian").model_dump(mode="json")
COUNTS = {"examples/train": 1000, "examples/validation": 10, "examples/test": 100, "items": 50, "queries": 40}


@pytest.fixture
def make_dataset(tmp_path):
    """`make_dataset(name, **counts)`: a directory with a dataset's manifest, and a file."""

    def make(name, **counts):
        directory = tmp_path / name
        directory.mkdir()
        (directory / "mutual_information.json").write_text("{}")
        files = describe_files(str(directory))
        Manifest(stage="dataset", run_id=name, spec=SPEC, counts=COUNTS | counts, files=files).write(str(directory))
        return directory

    return make


def ran(*arguments, capsys):
    code = run_command(validate.main, [str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_count_may_change_by_a_factor_and_no_more():
    assert out_of_bounds(COUNTS, None, max_change=2) == []
    for test, said in ((50, []), (200, []), (49, ["49"]), (201, ["201"])):
        found = out_of_bounds(COUNTS | {"examples/test": test}, COUNTS, max_change=2)
        assert found == [f"examples/test: expected 50 to 200, found {n}" for n in said]
    assert out_of_bounds(COUNTS | {"examples/train": 0}, None, max_change=2) == [
        "examples/train: expected some, found none"
    ]


def test_both_datasets_are_named_and_the_exit_code_is_1(make_dataset, capsys):
    today, yesterday = make_dataset("today", items=200), make_dataset("yesterday")
    assert ran("--dataset", today, capsys=capsys)[0] == 0
    code, out, _ = ran("--dataset", today, "--baseline", yesterday, "--max-change", "4", "--json", capsys=capsys)
    assert (code, json.loads(out)["counts"]["items"], json.loads(out)["baseline"]["items"]) == (0, 200, 50)
    code, out, err = ran("--dataset", today, "--baseline", yesterday, capsys=capsys)
    assert code == 1
    assert err == (
        f"error: {today}: items: expected 25 to 100, found 200, against {yesterday}; mend the input, or allow it with "
        "another --max-change\n"
    )
    assert ran("--dataset", today, "--max-change", "1", capsys=capsys)[0] == 2


def test_every_file_is_read(make_dataset, capsys):
    today = make_dataset("today")
    (today / "mutual_information.json").write_text("[]")
    code, _, err = ran("--dataset", today, capsys=capsys)
    assert code == 1
    assert "mutual_information.json: its SHA-256 differs" in err
