"""What `validate` says of a dataset, alone and beside yesterday's."""

import json

import pytest

from features.spec.file import load_spec
from pipelines import validate
from pipelines.validate import out_of_bounds
from stage.command_line import run_command
from stage.manifest import Manifest, describe_files

SPEC = load_spec("debian").model_dump(mode="json")
COUNTS = {"examples/train": 1000, "examples/validation": 10, "examples/test": 100, "items": 50, "queries": 40}
NEEDED = ("examples/train", "examples/test")


@pytest.fixture
def make_dataset(tmp_path):
    """`make_dataset(name, **counts)`: a directory with a dataset's manifest, and a file."""

    def make(name, *, spec=SPEC, **counts):
        directory = tmp_path / name
        directory.mkdir()
        (directory / "mutual_information.json").write_text("{}")
        files = describe_files(str(directory))
        Manifest(stage="dataset", run_id=name, spec=spec, counts=COUNTS | counts, files=files).write(str(directory))
        return directory

    return make


def ran(*arguments, capsys):
    code = run_command(validate.main, [str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_count_may_change_by_a_factor_and_no_more():
    assert out_of_bounds(COUNTS, None, needed=NEEDED, max_change=2) == {}
    for test, said in ((50, {}), (200, {}), (49, {"examples/test": "49"}), (201, {"examples/test": "201"})):
        found = out_of_bounds(COUNTS | {"examples/test": test}, COUNTS, needed=NEEDED, max_change=2)
        assert found == {name: f"expected 50 to 200, found {n}" for name, n in said.items()}
    five = COUNTS | {"items": 5}  # 5 / 1.5 and 5 * 1.5 are 3.33 and 7.5
    found = {n: out_of_bounds(five | {"items": n}, five, needed=NEEDED, max_change=1.5) for n in (3, 4, 7, 8)}
    assert [n for n, wrong in found.items() if wrong] == [3, 8]
    # Floats say that 100 * 1.15 is less than 115.
    for count, least, most in ((100, 87, 115), (23, 20, 26)):
        one = COUNTS | {"items": count}
        found = {n: out_of_bounds(one | {"items": n}, one, needed=NEEDED, max_change=1.15) for n in range(130)}
        assert [n for n, wrong in found.items() if not wrong] == [*range(least, most + 1)]
    assert out_of_bounds(COUNTS | {"examples/train": 0}, None, needed=NEEDED, max_change=2) == {
        "examples/train": "expected some, found none"
    }


def test_what_has_vanished_is_out_of_bounds_by_any_factor():
    gone = COUNTS | {"examples/validation": 0, "examples/test": 0, "queries": 0}
    assert out_of_bounds(gone, COUNTS, needed=NEEDED, max_change=1000) == {
        "examples/test": "expected some, found none",
        "examples/validation": "expected 1 to 10,000, found 0",
        "queries": "expected 1 to 40,000, found 0",
    }
    tested = gone | {"examples/test": 100}
    assert out_of_bounds(tested, tested, needed=NEEDED, max_change=1000) == {}


def test_a_split_that_may_be_empty_in_the_other_is_held_to_nothing_then():
    lost = COUNTS | {"examples/validation": 0}  # that day's logs, say, and every later dataset has some again
    assert out_of_bounds(COUNTS, lost, needed=NEEDED, max_change=2) == {}
    # Who has none of these is no dataset to be held to.
    broken = COUNTS | {"examples/test": 0, "items": 0}
    assert out_of_bounds(COUNTS, broken, needed=NEEDED, max_change=2) == {
        "examples/test": "expected 0 to 0, found 100",
        "items": "expected 0 to 0, found 50",
    }


def test_a_test_split_is_needed_where_the_spec_asks_for_one(make_dataset, capsys):
    without = load_spec("debian", ["split.test=0"]).model_dump(mode="json")
    by_time = load_spec("synthetic").model_dump(mode="json")
    for name, spec, wanted in (("none", without, 0), ("hash", SPEC, 1), ("time", by_time, 1)):
        dataset = make_dataset(name, spec=spec, **{"examples/test": 0})
        code, _, err = ran("--dataset", dataset, capsys=capsys)
        assert (code, "examples/test: expected some, found none" in err) == (wanted, wanted == 1)
    nothing = make_dataset("empty", spec=without, **{"examples/train": 0})
    code, _, err = ran("--dataset", nothing, capsys=capsys)
    assert (code, err) == (1, f"error: {nothing}: examples/train: expected some, found none; mend the input\n")


@pytest.mark.parametrize(
    ("today", "yesterday", "advice"),
    [
        ({"items": 200}, {}, "mend the input, or allow it with another --max-change"),
        ({"items": 200, "queries": 0}, {}, "mend the input"),
        ({"examples/test": 0}, {"examples/test": 0}, "mend the input"),
        ({"items": 200}, {"queries": 0}, "mend the input, or take another --baseline"),
    ],
)
def test_another_factor_is_advised_only_where_one_would_do(make_dataset, capsys, today, yesterday, advice):
    datasets = ("--dataset", make_dataset("today", **today), "--baseline", make_dataset("yesterday", **yesterday))
    code, _, err = ran(*datasets, capsys=capsys)
    assert code == 1
    assert err.endswith(f"; {advice}\n")


def test_both_datasets_are_named_and_the_exit_code_is_1(make_dataset, capsys):
    today, yesterday = make_dataset("today", items=200), make_dataset("yesterday")
    code, out, _ = ran("--dataset", today, capsys=capsys)
    assert (code, out.splitlines()[-1]) == (0, f"{today}: whole")
    assert "items 200 - " in (" ".join(out.replace("│", " ").split()))
    code, out, _ = ran("--dataset", today, "--baseline", yesterday, "--max-change", "4", capsys=capsys)
    assert code == 0
    assert out.splitlines()[-1] == f"{today}: whole, each count within a factor of 4 of {yesterday}'s"
    assert "items 200 50 " in (" ".join(out.replace("│", " ").split()))
    code, out, _ = ran("--dataset", today, "--baseline", yesterday, "--max-change", "4", "--json", capsys=capsys)
    assert (code, json.loads(out)["counts"]["items"], json.loads(out)["baseline"]["items"]) == (0, 200, 50)
    code, out, err = ran("--dataset", today, "--baseline", yesterday, capsys=capsys)
    assert code == 1
    assert "whole" not in out
    assert err == (
        f"error: {today}: items: expected 25 to 100, found 200, against {yesterday}; mend the input, or allow it with "
        "another --max-change\n"
    )
    # Nothing to compare with: who forgot the baseline thinks that something was.
    code, out, err = ran("--dataset", today, "--max-change", "4", capsys=capsys)
    assert (code, out) == (2, "")
    assert err.startswith("error: --max-change: expected --baseline beside it, since ")
    for factor in ("1", "nan", "inf"):
        code, _, err = ran("--dataset", today, "--max-change", factor, capsys=capsys)
        assert (code, err) == (2, f"error: --max-change: expected a number above 1, got {factor}\n")


def test_a_run_is_compared_with_the_last_that_trained(make_dataset, tmp_path, capsys):
    for night, items in (("2026-01-01", 20), ("2026-01-02", 40)):
        (tmp_path / night).mkdir()
        dataset = Manifest.find(str(make_dataset(f"{night}/dataset", items=items)))
        (tmp_path / night / "model").mkdir()
        inputs = {"dataset": dataset.content_digest}
        Manifest(stage="model", run_id=night, inputs=inputs).write(str(tmp_path / night / "model"))
    for night, earlier in (("2026-01-01", None), ("2026-01-02", 20)):
        flags = ("--dataset", f"{tmp_path}/{night}/dataset", "--baseline", tmp_path, "--max-change", "3", "--json")
        code, out, _ = ran(*flags, capsys=capsys)
        baseline = json.loads(out)["baseline"]
        assert (code, baseline and baseline["items"]) == (0, earlier)
    code, _, err = ran(*flags[:-3], capsys=capsys)
    assert err.splitlines()[0] == f"--baseline: {tmp_path}/2026-01-01/dataset"


def test_every_file_is_read(make_dataset, capsys):
    today = make_dataset("today")
    (today / "mutual_information.json").write_text("[]")
    code, _, err = ran("--dataset", today, capsys=capsys)
    assert code == 1
    assert "mutual_information.json: its SHA-256 differs" in err
