"""Publishing: what readers find at every moment, kills and rivals included."""

import json
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from published_exports import contents, made_anew, published, ran
from waiting import killed_at_the_end

from pipelines import publication, publish, rollback
from stage.command_line import run_command
from stage.manifest import Manifest


def test_an_export_is_copied_unchanged_to_the_next_number(make_export, base, capsys):
    one, two = make_export("one"), make_export("two")
    (base / "lost+found").mkdir(parents=True)
    assert ran(publish.main, "--export", one, "--to", base, capsys=capsys) == (0, f"published: {base}/1\n", "")
    assert (base / "CURRENT").read_text() == "1\n"
    code, out, _ = ran(publish.main, "--export", two, "--to", base, "--json", capsys=capsys)
    assert (code, json.loads(out)) == (0, {"number": 2, "directory": f"{base}/2"})
    assert (base / "CURRENT").read_text() == "2\n"
    copy = contents(base / "2")
    record = json.loads(copy.pop("published.json"))
    assert (record["number"], record["rolled_back_to"]) == (2, None)
    assert copy == contents(two)


def test_a_store_that_nothing_here_knows_is_refused_before_anything_is_made(make_export, tmp_path, capsys, monkeypatch):
    one = make_export("one")
    monkeypatch.chdir(tmp_path)
    expected = "error: s3://b/P: expected a local path or gs://BUCKET/PATH\n"
    assert ran(publish.main, "--export", one, "--to", "s3://b/P", capsys=capsys) == (1, "", expected)
    assert [path.name for path in tmp_path.iterdir()] == ["exports"]


@pytest.mark.parametrize("to", [".", "1", ".."])
def test_nothing_is_published_among_exports_or_into_one_or_a_run(make_export, capsys, to):
    made = make_export("1")
    run = made.parent.parent
    (run / "metrics.json").touch()
    before = contents(run)
    base = made.parent / to
    found = {".": made, "1": "the output of another command", "..": base / "metrics.json"}[to]
    expected = f"error: {base}: expected a directory for published models alone, found {found}; give another --to\n"
    assert ran(publish.main, "--export", made, "--to", base, capsys=capsys) == (1, "", expected)
    assert contents(run) == before


def test_the_same_export_again_changes_nothing(make_export, base, capsys):
    one = make_export("one")
    ran(publish.main, "--export", one, "--to", base, capsys=capsys)
    before = contents(base)
    assert ran(publish.main, "--export", one, "--to", base, capsys=capsys)[:2] == (0, f"published: {base}/1\n")
    assert contents(base) == before


def test_half_an_export_is_refused_and_leaves_nothing(make_export, base, capsys):
    one = make_export("one")
    (one / "saved_model.pb").write_text("cut")
    code, _, err = ran(publish.main, "--export", one, "--to", base, capsys=capsys)
    assert (code, err) == (1, f"error: {one}/saved_model.pb: expected 12 bytes, found 3; make it again\n")
    assert not base.exists()


def test_a_damaged_file_of_the_same_size_is_never_served(make_export, base, capsys):
    one = make_export("one")
    (one / "saved_model.pb").write_text("graph of two")
    code, _, err = ran(publish.main, "--export", one, "--to", base, capsys=capsys)
    assert code == 1
    assert err.startswith(f"error: {one}/saved_model.pb: ")
    assert not base.exists()


def test_a_file_that_is_cut_while_it_is_copied_is_never_served(make_export, base, capsys, monkeypatch):
    copy = publication.storage.copy

    def cut(source, target):
        copy(source, target)
        if target.endswith("saved_model.pb"):
            Path(target).write_text("cut")

    monkeypatch.setattr(publication.storage, "copy", cut)
    code, _, err = ran(publish.main, "--export", make_export("one"), "--to", base, capsys=capsys)
    assert (code, "saved_model.pb: expected 12 bytes, found 3" in err) == (1, True)
    assert [path.name for path in base.iterdir() if path.name in ("1", "CURRENT")] == []
    assert not list(base.rglob("manifest.json"))  # on gs:// it would make a number whole


def test_an_export_is_held_to_the_served_model_not_to_what_a_killed_publish_left_above_it(make_export, base, capsys):
    for name, data_end in (("served", "2009-07-29"), ("killed", "2009-07-31")):
        ran(publish.main, "--export", make_export(name, data_end), "--to", base, capsys=capsys)
    (base / "CURRENT").write_text("1\n")
    between = make_export("between", "2009-07-30")
    assert ran(publish.main, "--export", between, "--to", base, capsys=capsys)[:2] == (0, f"published: {base}/3\n")


def test_a_number_that_was_removed_by_hand_is_in_the_way_of_neither_publish_nor_rollback(make_export, base, capsys):
    for name in "abc":
        ran(publish.main, "--export", make_export(name), "--to", base, capsys=capsys)
    shutil.rmtree(base / "3")
    assert ran(publish.main, "--export", make_export("d"), "--to", base, capsys=capsys)[1] == f"published: {base}/4\n"
    shutil.rmtree(base / "4")
    assert ran(rollback.main, "--to", base, capsys=capsys)[0] == 0
    assert (published(base), (base / "CURRENT").read_text()) == ({1: "a", 2: "b", 5: "b"}, "5\n")
    # Nor is what lies below CURRENT taken for the same publish, begun before.
    shutil.rmtree(base / "5")
    again = ("--export", base.parent / "exports" / "b", "--to", base)
    assert ran(publish.main, *again, capsys=capsys)[:2] == (0, f"published: {base}/6\n")


def test_the_newest_stay(make_export, base, capsys):
    for name in "abcd":
        arguments = ("--export", make_export(name), "--to", base, "--set", "gate.keep=2")
        assert ran(publish.main, *arguments, capsys=capsys)[0] == 0
    assert published(base) == {3: "c", 4: "d"}
    assert {path.name for path in base.iterdir()} == {".lock", ".CURRENT.lock", "CURRENT", "3", "4"}
    code, _, err = ran(publish.main, "--export", make_export("e"), "--to", base, "--set", "gate.keep=1", capsys=capsys)
    assert code == 2
    assert "gate.keep: expected at least 2, got '1'" in err
    code, _, err = ran(publish.main, "--export", make_export("f"), "--to", base, "--set", "ssl.alpha=1", capsys=capsys)
    assert (code, err) == (
        2, "error: --set ssl.alpha: publish doesn't read the section ssl; give it to train\n"
    )  # fmt: skip
    code, _, err = ran(rollback.main, "--to", base, "--set", "train.epochs=3", capsys=capsys)
    assert (code, err) == (
        2, "error: --set train.epochs: rollback doesn't read the section train; give it to train\n"
    )  # fmt: skip


def test_half_a_number_goes_once_all_that_stay_are_newer(make_export, base, capsys):
    """As a publish to gs:// leaves it that was killed."""
    keep = ("--to", base, "--set", "gate.keep=2")
    ran(publish.main, "--export", make_export("a"), *keep, capsys=capsys)
    half = base / "2" / "published.json"
    half.parent.mkdir()
    half.write_text('{"number": 2, "run_id": "r"}')
    ran(publish.main, "--export", make_export("b"), *keep, capsys=capsys)
    assert {path.name for path in base.glob("[0-9]")} == {"1", "2", "3"}
    ran(publish.main, "--export", make_export("c"), *keep, capsys=capsys)
    assert {path.name for path in base.glob("[0-9]")} == {"3", "4"}


def test_a_model_is_published_after_no_other_than_the_gate_judged_by(make_export, base, capsys):
    for name, after in (("a", 0), ("bad", 1)):
        arguments = ("--export", make_export(name), "--to", base, "--after", after)
        assert ran(publish.main, *arguments, capsys=capsys)[0] == 0
    judged_by_the_bad_one = ("--export", make_export("next"), "--to", base, "--after", 2)
    ran(rollback.main, "--to", base, capsys=capsys)
    code, _, err = ran(publish.main, *judged_by_the_bad_one, capsys=capsys)
    assert (code, err) == (
        1,
        f"error: {base}: expected 2 to be served, which --after says the gate judged by, found 3: something was "
        "published or rolled back since; gate the model again\n",
    )
    assert (published(base), (base / "CURRENT").read_text()) == ({1: "a", 2: "bad", 3: "a"}, "3\n")
    judged_again = (*judged_by_the_bad_one[:-1], 3)
    assert ran(publish.main, *judged_again, capsys=capsys)[1] == f"published: {base}/4\n"
    # A task that is tried again finds its own work, but nothing else does for the number it was judged by.
    assert ran(publish.main, *judged_again, capsys=capsys)[:2] == (0, f"published: {base}/4\n")
    code, _, err = ran(publish.main, "--export", make_export("first"), "--to", base, "--after", 0, capsys=capsys)
    assert (code, "expected none to be served, which --after says the gate judged by, found 4" in err) == (1, True)


def test_a_number_that_a_killed_publish_left_is_held_to_the_gate_too(make_export, base, capsys):
    for name in "abc":
        ran(publish.main, "--export", make_export(name), "--to", base, capsys=capsys)
    (base / "CURRENT").write_text("2\n")
    arguments = ("--export", base.parent / "exports" / "c", "--to", base, "--after")
    assert ran(publish.main, *arguments, 1, capsys=capsys)[0] == 1
    assert (base / "CURRENT").read_text() == "2\n"
    assert ran(publish.main, *arguments, 2, capsys=capsys)[:2] == (0, f"published: {base}/3\n")


def test_of_two_tries_at_once_the_served_one_is_found_again(make_export, base, capsys):
    """As on gs://: each takes a number, and the first has CURRENT say so."""
    for name in "ab":
        ran(publish.main, "--export", make_export(name), "--to", base, capsys=capsys)
    shutil.copytree(base / "2", base / "3")
    record = base / "3" / "published.json"
    record.write_text(record.read_text().replace('"number": 2', '"number": 3'))
    arguments = ("--export", base.parent / "exports" / "b", "--to", base, "--after", 1)
    assert ran(publish.main, *arguments, capsys=capsys) == (0, f"published: {base}/2\n", "")
    assert (base / "CURRENT").read_text() == "2\n"
    (base / "CURRENT").write_text("1\n")
    assert ran(publish.main, *arguments, capsys=capsys)[1] == f"published: {base}/3\n"


KILLED = """
import os, signal, sys
from pipelines import publication, publish
from stage.command_line import run_command

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

target, name = {"copy": (publication.storage, "rename"), "pointer": (publish, "point_to")}[sys.argv[1]]
setattr(target, name, die)
run_command(publish.main, sys.argv[2:])
"""


@pytest.mark.parametrize(("moment", "left"), [("copy", {1: "old"}), ("pointer", {1: "old", 2: "new"})])
def test_a_kill_leaves_the_old_model_served_and_a_rerun_ends_right(make_export, base, capsys, moment, left):
    ran(publish.main, "--export", make_export("old"), "--to", base, capsys=capsys)
    new = make_export("new")
    arguments = ["--export", str(new), "--to", str(base)]
    killed = subprocess.run([sys.executable, "-c", KILLED, moment, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (published(base), (base / "CURRENT").read_text()) == (left, "1\n")
    assert ran(publish.main, *arguments, capsys=capsys)[:2] == (0, f"published: {base}/2\n")
    assert (published(base), (base / "CURRENT").read_text()) == ({1: "old", 2: "new"}, "2\n")
    assert {path.name for path in base.iterdir()} == {".lock", ".CURRENT.lock", "CURRENT", "1", "2"}
    Manifest.read(str(base / "2"), "export", verify=True)


def test_what_a_killed_one_left_is_in_no_model_and_in_nobodys_way(make_export, base, capsys):
    for name in (".publishing", ".removing"):
        (base / name).mkdir(parents=True)
        (base / name / "of another export").write_text("x")
    first = make_export("a")
    for export in (first, make_export("b"), make_export("c")):
        assert ran(publish.main, "--export", export, "--to", base, "--set", "gate.keep=2", capsys=capsys)[0] == 0
        if export == first:
            assert contents(base / "1").keys() - contents(first).keys() == {"published.json"}
    assert {path.name for path in base.iterdir()} == {".lock", ".CURRENT.lock", "CURRENT", "2", "3"}


def test_publishers_at_once_get_a_number_each(make_export, base):
    names = ["red", "green", "blue"]
    command = [sys.executable, "-m", "pipelines.cli", "publish", "--to", base]
    processes = [subprocess.Popen([*command, "--export", make_export(name)]) for name in names]
    with killed_at_the_end(*processes):
        assert [process.wait() for process in processes] == [0, 0, 0]
    found = published(base)
    assert (sorted(found), sorted(found.values())) == ([1, 2, 3], sorted(names))
    assert (base / "CURRENT").read_text() == "3\n"


def test_a_reader_never_sees_half_of_a_model(make_export, base, capsys):
    exports = [make_export(f"m{n}") for n in range(11)]
    ran(publish.main, "--export", exports[0], "--to", base, capsys=capsys)
    has_read, over, seen, failures = threading.Event(), threading.Event(), [], []

    def read():
        is_last = False
        while not is_last:
            is_last = over.is_set()
            try:
                number = int((base / "CURRENT").read_text())
                directory = base / str(number)
                manifest = Manifest.read(str(directory), "export", verify=True)
                seen.append((number, manifest.run_id, (directory / "saved_model.pb").read_text()))
            except Exception as error:
                failures.append(error)
            has_read.set()

    def look_at_the_highest():
        """As TensorFlow Serving does."""
        while not over.is_set():
            number = max(int(path.name) for path in Path(base).iterdir() if path.name.isdigit())
            try:
                Manifest.read(str(base / str(number)), "export", verify=True)
            except Exception as error:
                failures.append(error)

    readers = [threading.Thread(target=target, daemon=True) for target in (read, look_at_the_highest)]
    for reader in readers:
        reader.start()
    assert has_read.wait(timeout=60)
    for export in exports[1:]:
        # All stay: on a busy machine a reader may fall behind by more than the five that stay by default.
        arguments = ["--export", str(export), "--to", str(base), "--set", "gate.keep=11"]
        assert run_command(publish.main, arguments) == 0
    over.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert (seen[0][0], seen[-1][0]) == (1, 11)
    assert all((run, graph) == (f"m{number - 1}", f"graph of m{number - 1}") for number, run, graph in seen)


def test_a_damaged_served_model_is_in_the_way_of_neither_publish_nor_rollback(make_export, base, capsys):
    one, two = make_export("one"), make_export("two")
    for export in (one, two):
        ran(publish.main, "--export", export, "--to", base, capsys=capsys)
    (base / "2" / "saved_model.pb").write_text("cut")
    assert ran(publish.main, "--export", two, "--to", base, capsys=capsys) == (
        0, f"published: {base}/3\n", f"{base}/2/saved_model.pb: expected 12 bytes, found 3; make it again; {base}/2 is "
        "left out\n"
    )  # fmt: skip
    (base / "3" / "saved_model.pb").write_text("cut")
    assert ran(rollback.main, "--to", base, "--number", "1", capsys=capsys)[:2] == (
        0, f"published: {base}/4, which is 1 again\n"
    )  # fmt: skip


@pytest.mark.parametrize("damaged", ["manifest.json", "published.json"])
def test_a_damaged_number_is_passed_over(make_export, base, capsys, damaged):
    for name in "abc":
        ran(publish.main, "--export", make_export(name), "--to", base, capsys=capsys)
    (base / "3" / damaged).write_text("{")
    code, out, err = ran(rollback.main, "--to", base, capsys=capsys)
    assert (code, out) == (0, f"published: {base}/4, which is 2 again\n")
    assert err.startswith(f"{base}/3/{damaged}: not ")
    assert err.endswith(f"; {base}/3 is left out\n")
    (base / "4" / damaged).write_text("{")
    code, out, err = ran(publish.main, "--export", make_export("d"), "--to", base, capsys=capsys)
    assert (code, out) == (0, f"published: {base}/5\n")
    assert err.count("is left out") == 2
    # Neither counts among those that stay.
    assert published(base) == {1: "a", 2: "b", 3: "c", 4: "b", 5: "d"}


def test_an_export_that_was_made_anew_is_the_same_one(make_export, base, capsys):
    one = make_export("one")
    ran(publish.main, "--export", one, "--to", base, capsys=capsys)
    made_anew(one)
    assert ran(publish.main, "--export", one, "--to", base, capsys=capsys)[:2] == (0, f"published: {base}/1\n")


def test_an_export_whose_data_end_is_written_otherwise_is_the_same(make_export, base, capsys):
    one = make_export("one", "2009-07-30")
    ran(publish.main, "--export", one, "--to", base, capsys=capsys)
    for data_end, number in (("2009-07-30T00:00:00Z", 1), ("2009-07-30T00:00:01Z", 2)):
        options = {"data_end": data_end, "model": "/models/one"}
        Manifest.find(str(one)).model_copy(update={"job_options": options}).write(str(one))
        said = ran(publish.main, "--export", one, "--to", base, capsys=capsys)
        assert said[:2] == (0, f"published: {base}/{number}\n")


@pytest.mark.parametrize(
    "changed",
    [
        {"content": {"items": "others"}},
        {"inputs": {"model": "digest of one", "dataset": "another"}},
        {"job_options": {"data_end": "2009-07-31"}},
        {"spec_digest": "another"},
        {"versions": {"tensorflow": "another"}},
    ],
)
def test_another_export_of_the_same_model_is_published_too(make_export, base, capsys, changed):
    one = make_export("one")
    ran(publish.main, "--export", one, "--to", base, capsys=capsys)
    Manifest.find(str(one)).model_copy(update=changed).write(str(one))
    assert ran(publish.main, "--export", one, "--to", base, capsys=capsys)[:2] == (0, f"published: {base}/2\n")


def test_an_export_of_no_model_is_not_published(make_export, base, capsys):
    export = make_export("one")
    Manifest.find(str(export)).model_copy(update={"inputs": {}}).write(str(export))
    code, _, err = ran(publish.main, "--export", export, "--to", base, capsys=capsys)
    assert (code, err) == (1, f"error: {export}/manifest.json: expected the digest of its model, found none\n")
    assert not base.exists()


def test_a_model_of_a_spec_with_other_keys_is_published_again(make_export, base, capsys):
    for name in "ab":
        ran(publish.main, "--export", make_export(name), "--to", base, capsys=capsys)
    manifest = Manifest.find(str(base / "1"))
    spec = manifest.spec | {"train": manifest.spec["train"] | {"a_key_of_then": 1}, "a_section_of_then": {}}
    manifest.model_copy(update={"spec": spec}).write(str(base / "1"))
    assert ran(rollback.main, "--to", base, capsys=capsys)[:2] == (0, f"published: {base}/3, which is 1 again\n")
