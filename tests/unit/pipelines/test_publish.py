"""Publishing: what readers find at every moment, kills and rivals included."""

import json
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from manifests import rewrite
from published_exports import contents, made_anew, published
from waiting import killed_at_the_end

from pipelines import publication
from stage.manifest import Manifest


def test_an_export_is_copied_unchanged_to_the_next_number(make_export, base, publish):
    two = make_export("two")
    (base / "lost+found").mkdir(parents=True)
    assert publish("one") == (0, f"published: {base}/1\n", "")
    assert (base / "CURRENT").read_text() == "1\n"
    code, out, _ = publish(two, "--json")
    assert (code, json.loads(out)) == (0, {"number": 2, "directory": f"{base}/2"})
    assert (base / "CURRENT").read_text() == "2\n"
    copy = contents(base / "2")
    record = json.loads(copy.pop("published.json"))
    assert (record["number"], record["rolled_back_to"]) == (2, None)
    assert copy == contents(two)


def test_a_store_that_nothing_here_knows_is_refused_before_anything_is_made(publish, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = "error: s3://b/P: expected a local path or gs://BUCKET/PATH\n"
    assert publish("one", "--to", "s3://b/P") == (1, "", expected)
    assert [path.name for path in tmp_path.iterdir()] == ["exports"]


@pytest.mark.parametrize("to", [".", "1", ".."])
def test_nothing_is_published_among_exports_or_into_one_or_a_run(make_export, publish, to):
    made = make_export("1")
    run = made.parent.parent
    (run / "metrics.json").touch()
    before = contents(run)
    base = made.parent / to
    found = {".": made, "1": "the output of another command", "..": base / "metrics.json"}[to]
    expected = f"error: {base}: expected a directory for published models alone, found {found}; give another --to\n"
    assert publish(made, "--to", base) == (1, "", expected)
    assert contents(run) == before


def test_the_same_export_again_changes_nothing(base, publish):
    publish("one")
    before = contents(base)
    told = f"{base}/1: holds the same export already, and is served; nothing was copied\n"
    assert publish("one") == (0, f"published: {base}/1\n", told)
    assert contents(base) == before


def test_half_an_export_is_refused_and_leaves_nothing(make_export, base, publish):
    one = make_export("one")
    (one / "saved_model.pb").write_text("cut")
    code, _, err = publish(one)
    assert (code, err) == (1, f"error: {one}/saved_model.pb: expected 12 bytes, found 3; make it again\n")
    assert not base.exists()


def test_a_damaged_file_of_the_same_size_is_never_served(make_export, base, publish):
    one = make_export("one")
    (one / "saved_model.pb").write_text("graph of two")
    code, _, err = publish(one)
    assert code == 1
    assert err.startswith(f"error: {one}/saved_model.pb: ")
    assert not base.exists()


def test_a_file_that_is_cut_while_it_is_copied_is_never_served(base, publish, monkeypatch):
    copy = publication.storage.copy

    def cut(source, target):
        copy(source, target)
        if target.endswith("saved_model.pb"):
            Path(target).write_text("cut")

    monkeypatch.setattr(publication.storage, "copy", cut)
    code, _, err = publish("one")
    assert (code, "saved_model.pb: expected 12 bytes, found 3" in err) == (1, True)
    assert [path.name for path in base.iterdir() if path.name in ("1", "CURRENT")] == []
    assert not list(base.rglob("manifest.json"))  # on gs:// it would make a number whole


def test_an_export_is_held_to_the_served_model_not_to_what_a_killed_publish_left_above_it(make_export, base, publish):
    for name, data_end in (("served", "2009-07-29"), ("killed", "2009-07-31")):
        publish(make_export(name, data_end))
    (base / "CURRENT").write_text("1\n")
    assert publish(make_export("between", "2009-07-30"))[:2] == (0, f"published: {base}/3\n")


def test_a_number_that_was_removed_by_hand_is_in_the_way_of_neither_publish_nor_rollback(base, publish, roll_back):
    for name in "abc":
        publish(name)
    shutil.rmtree(base / "3")
    assert publish("d")[1] == f"published: {base}/4\n"
    shutil.rmtree(base / "4")
    assert roll_back()[0] == 0
    assert (published(base), (base / "CURRENT").read_text()) == ({1: "a", 2: "b", 5: "b"}, "5\n")
    # Nor is what lies below CURRENT taken for the same publish, begun before.
    shutil.rmtree(base / "5")
    assert publish("b")[:2] == (0, f"published: {base}/6\n")


def test_the_newest_stay(base, publish, roll_back):
    for name in "abcd":
        assert publish(name, "--set", "gate.keep=2")[0] == 0
    assert published(base) == {3: "c", 4: "d"}
    assert {path.name for path in base.iterdir()} == {".lock", ".CURRENT.lock", "CURRENT", "3", "4"}
    code, _, err = publish("e", "--set", "gate.keep=1")
    assert code == 2
    assert "gate.keep: expected at least 2, got '1'" in err
    code, _, err = publish("f", "--set", "ssl.alpha=1")
    assert (code, err) == (
        2, "error: --set ssl.alpha: publish doesn't read the section ssl; give it to train\n"
    )  # fmt: skip
    code, _, err = roll_back("--set", "train.epochs=3")
    assert (code, err) == (
        2, "error: --set train.epochs: rollback doesn't read the section train; give it to train\n"
    )  # fmt: skip


def test_half_a_number_goes_once_all_that_stay_are_newer(base, publish):
    """As a publish to gs:// leaves it that was killed."""
    keep = ("--set", "gate.keep=2")
    publish("a", *keep)
    half = base / "2" / "published.json"
    half.parent.mkdir()
    half.write_text('{"number": 2, "run_id": "r"}')
    publish("b", *keep)
    assert {path.name for path in base.glob("[0-9]")} == {"1", "2", "3"}
    publish("c", *keep)
    assert {path.name for path in base.glob("[0-9]")} == {"3", "4"}


def test_a_model_is_published_after_no_other_than_the_gate_judged_by(base, publish, roll_back):
    for name, after in (("a", 0), ("bad", 1)):
        assert publish(name, "--after", after)[0] == 0
    roll_back()
    code, _, err = publish("next", "--after", 2)
    assert (code, err) == (
        1,
        f"error: {base}: expected 2 to be served, which --after says the gate judged by, found 3: something was "
        "published or rolled back since; gate the model again\n",
    )
    assert (published(base), (base / "CURRENT").read_text()) == ({1: "a", 2: "bad", 3: "a"}, "3\n")
    assert publish("next", "--after", 3)[1] == f"published: {base}/4\n"
    # A task that is tried again finds its own work, but nothing else does for the number it was judged by.
    assert publish("next", "--after", 3)[:2] == (0, f"published: {base}/4\n")
    code, _, err = publish("first", "--after", 0)
    assert (code, "expected none to be served, which --after says the gate judged by, found 4" in err) == (1, True)


def test_a_number_that_a_killed_publish_left_is_held_to_the_gate_too(base, publish):
    for name in "abc":
        publish(name)
    (base / "CURRENT").write_text("2\n")
    assert publish("c", "--after", 1)[0] == 1
    assert (base / "CURRENT").read_text() == "2\n"
    assert publish("c", "--after", 2)[:2] == (0, f"published: {base}/3\n")


def test_of_two_tries_at_once_the_served_one_is_found_again(base, publish):
    """As on gs://: each takes a number, and the first has CURRENT say so."""
    for name in "ab":
        publish(name)
    shutil.copytree(base / "2", base / "3")
    record = base / "3" / "published.json"
    record.write_text(record.read_text().replace('"number": 2', '"number": 3'))
    assert publish("b", "--after", 1)[:2] == (0, f"published: {base}/2\n")
    assert (base / "CURRENT").read_text() == "2\n"
    (base / "CURRENT").write_text("1\n")
    assert publish("b", "--after", 1)[1] == f"published: {base}/3\n"


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
def test_a_kill_leaves_the_old_model_served_and_a_rerun_ends_right(make_export, base, publish, moment, left):
    publish("old")
    arguments = ["--export", make_export("new"), "--to", base]
    killed = subprocess.run([sys.executable, "-c", KILLED, moment, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (published(base), (base / "CURRENT").read_text()) == (left, "1\n")
    assert publish("new") == (0, f"published: {base}/2\n", "")
    assert (published(base), (base / "CURRENT").read_text()) == ({1: "old", 2: "new"}, "2\n")
    assert {path.name for path in base.iterdir()} == {".lock", ".CURRENT.lock", "CURRENT", "1", "2"}
    Manifest.read(str(base / "2"), "export", verify=True)


def test_what_a_killed_one_left_is_in_no_model_and_in_nobodys_way(make_export, base, publish):
    for name in (".publishing", ".removing"):
        (base / name).mkdir(parents=True)
        (base / name / "of another export").write_text("x")
    first = make_export("a")
    for export in (first, make_export("b"), make_export("c")):
        assert publish(export, "--set", "gate.keep=2")[0] == 0
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


def test_a_reader_never_sees_half_of_a_model(make_export, base, publish):
    exports = [make_export(f"m{n}") for n in range(11)]
    publish(exports[0])
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
        assert publish(export, "--set", "gate.keep=11")[0] == 0
    over.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert (seen[0][0], seen[-1][0]) == (1, 11)
    assert all((run, graph) == (f"m{number - 1}", f"graph of m{number - 1}") for number, run, graph in seen)


def test_a_damaged_served_model_is_in_the_way_of_neither_publish_nor_rollback(base, publish, roll_back):
    for name in ("one", "two"):
        publish(name)
    (base / "2" / "saved_model.pb").write_text("cut")
    assert publish("two") == (
        0, f"published: {base}/3\n", f"{base}/2/saved_model.pb: expected 12 bytes, found 3; make it again; {base}/2 is "
        "left out\n"
    )  # fmt: skip
    (base / "3" / "saved_model.pb").write_text("cut")
    assert roll_back("--number", "1")[:2] == (
        0, f"published: {base}/4, which is 1 again\n"
    )  # fmt: skip


@pytest.mark.parametrize("damaged", ["manifest.json", "published.json"])
def test_a_damaged_number_is_passed_over(base, publish, roll_back, damaged):
    for name in "abc":
        publish(name)
    (base / "3" / damaged).write_text("{")
    code, out, err = roll_back()
    assert (code, out) == (0, f"published: {base}/4, which is 2 again\n")
    assert err.startswith(f"{base}/3/{damaged}: not ")
    assert err.endswith(f"; {base}/3 is left out\n")
    (base / "4" / damaged).write_text("{")
    code, out, err = publish("d")
    assert (code, out) == (0, f"published: {base}/5\n")
    assert err.count("is left out") == 2
    # Neither counts among those that stay.
    assert published(base) == {1: "a", 2: "b", 3: "c", 4: "b", 5: "d"}


def test_an_export_that_was_made_anew_is_the_same_one(make_export, base, publish):
    one = make_export("one")
    publish(one)
    made_anew(one)
    assert publish(one)[:2] == (0, f"published: {base}/1\n")


def test_an_export_whose_data_end_is_written_otherwise_is_the_same(make_export, base, publish):
    one = make_export("one", "2009-07-30")
    publish(one)
    for data_end, number in (("2009-07-30T00:00:00Z", 1), ("2009-07-30T00:00:01Z", 2)):
        rewrite(one, job_options={"data_end": data_end, "model": "/models/one"})
        assert publish(one)[:2] == (0, f"published: {base}/{number}\n")


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
def test_another_export_of_the_same_model_is_published_too(make_export, base, publish, changed):
    one = make_export("one")
    publish(one)
    rewrite(one, **changed)
    assert publish(one)[:2] == (0, f"published: {base}/2\n")


def test_an_export_of_no_model_is_not_published(make_export, base, publish):
    export = make_export("one")
    rewrite(export, inputs={})
    code, _, err = publish(export)
    assert (code, err) == (1, f"error: {export}/manifest.json: expected the digest of its model, found none\n")
    assert not base.exists()


def test_a_model_of_a_spec_with_other_keys_is_published_again(base, publish, roll_back):
    for name in "ab":
        publish(name)
    spec = Manifest.find(str(base / "1")).spec
    rewrite(base / "1", spec=spec | {"train": spec["train"] | {"a_key_of_then": 1}, "a_section_of_then": {}})
    assert roll_back()[:2] == (0, f"published: {base}/3, which is 1 again\n")
