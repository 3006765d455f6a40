"""What publishers do to a directory step by step, on local disk and as on gs://, which has no lock and no rename."""

import shutil
from pathlib import Path

import pytest
from manifests import rewrite
from published_exports import published

from pipelines import publication
from stage.errors import StageError
from stage.manifest import Manifest


@pytest.fixture
def as_on_gs(monkeypatch):
    monkeypatch.setattr(publication, "_on_gs", lambda _: True)


@pytest.fixture
def deleted(monkeypatch):
    """What was deleted, in order; it stays, as where a kill comes first."""
    found = []
    monkeypatch.setattr(publication.storage, "delete", found.append)
    return found


def make_numbers(base, count):
    for number in range(1, count + 1):
        Manifest(stage="export", run_id="r").write(str(base / str(number)))
        (base / str(number) / "published.json").touch()


@pytest.mark.parametrize("verb", ["publish", "rollback"])
def test_nothing_is_removed_before_current_says_the_new_number(base, roll_back, publish, monkeypatch, verb):
    for name in "ab":
        publish(name)

    def fail(*_, **__):
        raise StageError("no room")

    keep = ("--set", "gate.keep=2")
    monkeypatch.setattr(f"pipelines.{verb}.point_to", fail)
    made, third = (publish("c", *keep), "c") if verb == "publish" else (roll_back(*keep), "a")
    assert (made[0], published(base)) == (1, {1: "a", 2: "b", 3: third})


def test_a_publish_that_fails_leaves_no_partial_copy_and_says_why_if_that_fails_too(
    make_export, base, make_undeletable
):
    """As on a full disk, which is then no fuller than before."""
    export = make_export("one")
    manifest = Manifest.find(str(export))
    (export / "saved_model.pb").unlink()  # the last to be copied
    for left in ([], [".publishing"]):
        with pytest.raises(StageError, match=r"saved_model\.pb: cannot be read: No such file or directory"):
            publication.add_copy(str(export), manifest, base=str(base))
        assert [path.name for path in base.iterdir()] == left
        if not left:
            (base / ".publishing").mkdir()
            make_undeletable(base / ".publishing" / "deep")


def test_a_number_that_was_never_published_is_not_removed(base):
    make_numbers(base, 3)
    (base / "1" / "published.json").unlink()
    publication.remove_old(str(base), {2: "b", 3: "c"}, keep=1)
    assert {path.name for path in base.iterdir()} == {"1", "3"}


def test_what_is_no_model_of_ours_is_not_removed_though_its_name_is_a_number(base, publish):
    for number, name in ((1700000000, "saved_model.pb"), (1, ".unfinished")):
        (base / str(number)).mkdir(parents=True)
        (base / str(number) / name).touch()
    refused = publish("a")
    expected = f"error: {base}: expected a directory for published models alone, found {base}/1; give another --to\n"
    assert refused == (1, "", expected)
    make_numbers(base, 5)
    (base / "1" / "published.json").unlink()
    publication.remove_old(str(base), {3: "c", 4: "d", 5: "e"}, keep=1)
    assert {path.name for path in base.iterdir()} == {"1700000000", "1", "5"}


@pytest.mark.parametrize("name", ["01", "07"])
def test_nothing_is_published_beside_a_number_with_a_zero_before_it(base, publish, name):
    publish("a")
    (base / name).mkdir()
    expected = (
        f"error: {base}: expected a directory for published models alone, found {base}/{name}; give another --to\n"
    )
    assert publish("b") == (1, "", expected)
    assert (base / "CURRENT").read_text() == "1\n"


def test_a_number_that_another_publisher_removes_meanwhile_is_not_foreign(base, monkeypatch):
    make_numbers(base, 2)
    exists = publication.storage.exists

    def removed_then_exists(path):
        if path == f"{base}/1/published.json":
            (base / "1").rename(base / ".removing")
        return exists(path)

    monkeypatch.setattr(publication.storage, "exists", removed_then_exists)
    publication.refuse_foreign(str(base))
    assert {path.name for path in base.iterdir()} == {".removing", "2"}


def test_an_old_number_is_no_number_any_more_before_its_files_go(base, deleted):
    make_numbers(base, 3)
    publication.remove_old(str(base), {1: "a", 2: "b", 3: "c"}, keep=2)
    assert ({path.name for path in base.iterdir()}, deleted) == ({".removing", "2", "3"}, [f"{base}/.removing"])


@pytest.mark.usefixtures("as_on_gs")
def test_on_gs_the_manifest_of_an_old_number_goes_first(base, deleted):
    make_numbers(base, 3)
    (base / "1" / "saved_model.pb").touch()
    publication.remove_old(str(base), {1: "a", 2: "b", 3: "c"}, keep=2)
    # Here nothing is deleted in truth, so the manifest is met again.
    assert (deleted[0], deleted[-1]) == (f"{base}/1/manifest.json", f"{base}/1")
    assert sorted(deleted[1:-1]) == [f"{base}/1/manifest.json", f"{base}/1/saved_model.pb"]


def test_another_export_of_a_model_pushes_no_other_model_out(make_export, base, publish):
    b = make_export("b")
    for export in (make_export("a"), b, b):
        assert publish(export, "--set", "gate.keep=2")[0] == 0
        rewrite(export, spec_digest="of other keys")
    assert published(base) == {1: "a", 2: "b", 3: "b"}


def test_the_newest_number_of_each_of_the_newest_models_stays(base):
    make_numbers(base, 7)
    publication.remove_old(str(base), {1: "d", 2: "c", 3: "b", 4: "b", 5: "a", 6: "a", 7: "a"}, keep=3)
    assert {path.name for path in base.iterdir()} == {"2", "4", "5", "6", "7"}


@pytest.mark.usefixtures("as_on_gs")
def test_on_gs_a_number_that_another_one_has_begun_is_not_taken(make_export, base, monkeypatch):
    other = base / "1" / "published.json"
    other.parent.mkdir(parents=True)
    other.write_text("of another publisher")
    monkeypatch.setattr(publication, "numbers", lambda _: [])  # as before the other one came
    export = str(make_export("one"))
    assert publication.add_copy(export, Manifest.find(export), base=str(base)) == 2
    assert not (base / "1" / "saved_model.pb").exists()
    assert other.read_text() == "of another publisher"
    assert (base / "2" / "saved_model.pb").read_text() == "graph of one"


def test_a_rollback_that_comes_between_is_not_overwritten(base):
    """As where there is no lock: CURRENT was 1 when it was read, and the copy has number 3."""
    publication.point_to(str(base), 2)
    with pytest.raises(StageError, match="CURRENT: 2 was published at the same time as 3; run the same command again"):
        publication.point_to(str(base), 3, after=1)
    assert (base / "CURRENT").read_text() == "2\n"


@pytest.fixture
def overtaken(publish, monkeypatch):
    """`overtaken(export, verb, *arguments)`: a publish, as on gs://, and what ends before it has its number."""

    def run(export, verb, *arguments):
        def add_copy(*exported, **named):
            monkeypatch.setattr("pipelines.publish.add_copy", publication.add_copy)
            assert verb(*arguments)[0] == 0
            return publication.add_copy(*exported, **named)

        monkeypatch.setattr(publication, "_on_gs", lambda _: True)
        monkeypatch.setattr("pipelines.publish.add_copy", add_copy)
        return publish(export)

    return run


def test_no_older_model_replaces_one_that_was_published_while_it_was_copied(make_export, base, publish, overtaken):
    """As by a job for another offer, which exports the model of yesterday when a night publishes its own."""
    yesterday, today = make_export("yesterday", "2009-07-30"), make_export("today", "2009-07-31")
    code, _, err = overtaken(yesterday, publish, today)
    assert (code, err) == (
        1, f"error: {base}/CURRENT: 1 was published at the same time as 2; run the same command again\n"
    )  # fmt: skip
    code, _, err = publish(yesterday)
    assert (code, "after this export's (2009-07-30): only the newest is published" in err) == (1, True)
    assert (published(base), (base / "CURRENT").read_text()) == ({1: "today", 2: "yesterday"}, "1\n")


def test_no_model_comes_back_that_was_rolled_back_from_while_it_was_copied(
    make_export, base, roll_back, publish, overtaken
):
    bad = make_export("bad")
    for export in ("a", bad):
        publish(export)
    rewrite(bad, content={"items": "others"})
    code, _, err = overtaken(bad, roll_back)
    assert (code, "CURRENT: 3 was published at the same time as 4; run the same command again" in err) == (1, True)
    assert "a rollback went back from this export's model" in publish(bad)[2]
    assert (base / "CURRENT").read_text() == "3\n"
    # Nor once the next one is published.
    publish("next")
    assert "a rollback went back from this export's model" in publish(bad)[2]
    assert (base / "CURRENT").read_text() == "5\n"
    assert published(base) == {1: "a", 2: "bad", 3: "a", 4: "bad", 5: "next"}


def test_a_verdict_holds_for_the_model_it_was_judged_by_whatever_its_number(make_export, base, publish, roll_back):
    """As where the offer changes while the gate is at work, or another model comes and is rolled back from."""
    a = make_export("a")
    for offer in ("of yesterday", "of today"):
        rewrite(a, content={"items": offer})
        publish(a)
    assert publish("b", "--after", 1)[:2] == (0, f"published: {base}/3\n")
    code, _, err = publish("c", "--after", 1)
    assert (code, "expected 1 to be served, which --after says the gate judged by, found 3" in err) == (1, True)
    roll_back()
    assert publish("c", "--after", 1)[:2] == (0, f"published: {base}/5\n")
    # Two numbers that have no model don't have the same one.
    shutil.rmtree(base / "5")
    code, _, err = publish("b", "--again", "--after", 6)
    assert (code, "expected 6 to be served, which --after says the gate judged by, found 5" in err) == (1, True)


def test_the_pointer_never_goes_back(base):
    """As where there is no lock, and two publish at once."""
    publication.point_to(str(base), 3)
    with pytest.raises(StageError, match=r"CURRENT: 3 was published at the same time as 2; run the same command again"):
        publication.point_to(str(base), 2)
    assert (base / "CURRENT").read_text() == "3\n"
    (base / "CURRENT").write_text("latest\n")
    with pytest.raises(StageError, match=r"CURRENT: expected the number of a published model, found b'latest"):
        publication.point_to(str(base), 3)


def test_what_makes_tensorflow_serving_load_a_directory_comes_after_its_variables(publish, monkeypatch):
    """On gs:// it sees each file as it comes."""
    copied = []

    def copy(source, target):
        copied.append(Path(target).name)
        original(source, target)

    original = publication.storage.copy
    monkeypatch.setattr(publication.storage, "copy", copy)
    assert publish("one")[0] == 0
    assert copied == ["variables.index", "saved_model.pb", "manifest.json"]
