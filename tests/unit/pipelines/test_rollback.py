"""Going back: to which model, under which number, and what may be published after it."""

import json

from manifests import rewrite
from published_exports import contents, made_anew, published

from stage.manifest import Manifest


def test_a_rollback_is_a_new_number_and_may_go_to_an_older_interval(make_export, base, publish, roll_back):
    for day in (1, 2, 3):
        publish(make_export(f"day{day}", f"2009-07-0{day}"))
    assert roll_back()[:2] == (0, f"published: {base}/4, which is 2 again\n")
    assert (published(base)[4], (base / "CURRENT").read_text()) == ("day2", "4\n")
    record = json.loads((base / "4" / "published.json").read_text())
    assert (record["rolled_back_to"], record["rolled_back_from"]) == (2, ["digest of day3"])
    # Once more: one further, not back to what was left.
    assert roll_back()[1] == f"published: {base}/5, which is 1 again\n"
    code, _, err = roll_back()
    assert (code, err) == (
        1,
        f"error: {base}: expected an older model than the served one that no rollback went back from, found none among "
        "1, 2, 3, 4, 5; name one with --number\n",
    )
    code, out, _ = roll_back("--number", "3", "--json")
    assert (code, json.loads(out)) == (0, {"number": 6, "directory": f"{base}/6", "rolled_back_to": 3})
    assert published(base) == {2: "day2", 3: "day3", 4: "day2", 5: "day1", 6: "day3"}
    assert roll_back("--number", "1")[0] == 1
    # What comes after a rollback is held to the model that is served.
    assert roll_back("--number", "5")[0] == 0
    assert publish(make_export("new", "2009-07-02"))[0] == 0
    assert (base / "CURRENT").read_text() == "8\n"


def test_what_a_rollback_brings_back_may_then_be_exported_anew(make_export, base, publish, roll_back):
    """As for the offer of today, since it brings back that of then."""
    older, bad = make_export("older", "2009-07-30"), make_export("bad", "2009-07-31")
    for export in (older, bad):
        publish(export)
    rewrite(older, content={"items": "of today"})
    said = (
        f"error: {base}/2: its data ends at 2009-07-31, after this export's (2009-07-30): only the newest is "
        "published; rollback goes back to an older one, which may be exported anew then\n"
    )
    assert publish(older) == (1, "", said)
    roll_back()
    assert publish(older)[:2] == (0, f"published: {base}/4\n")


def test_nothing_to_go_back_to(base, roll_back):
    code, _, err = roll_back()
    assert (code, err) == (1, f"error: {base}: expected published models, found no CURRENT\n")
    assert not base.exists()


def test_the_only_model_has_none_to_go_back_to(make_export, base, publish, roll_back):
    one = make_export("one")
    publish("one")
    wanted = f"error: {base}: expected an older model to go back to, but only one is published, as 1"
    assert roll_back() == (1, "", f"{wanted}\n")
    # As a night that the gate refused publishes it, with the items of that night.
    rewrite(one, content={"items": "of the night"})
    publish("one")
    assert roll_back() == (1, "", f"{wanted}, 2\n")
    assert roll_back("--number", "1") == (
        0,
        f"published: {base}/3, which is 1 again\n",
        f"--number: {base}/1 is of the model that is served, which stays: only its items go back to those of then\n",
    )


def test_a_rollback_goes_to_no_model_whose_files_are_damaged(base, publish, roll_back):
    for name in "abc":
        publish(name)
    (base / "2" / "saved_model.pb").unlink()
    code, _, err = roll_back("--number", "2")
    missing = f"{base}/2/saved_model.pb: named by the manifest but missing; make the export again"
    assert (code, err) == (1, f"error: {missing}\n")
    code, out, err = roll_back()
    assert (code, out, err) == (0, f"published: {base}/4, which is 1 again\n", f"{missing}; {base}/2 is left out\n")


def test_a_rollback_goes_to_another_model(make_export, base, publish, roll_back):
    two = make_export("two")
    publish("one")
    for data_end in (None, "2009-07-30"):
        rewrite(two, job_options={"data_end": data_end, "model": "/models/two"})
        publish(two)
    assert published(base) == {1: "one", 2: "two", 3: "two"}
    (base / ".publishing").mkdir()
    (base / ".publishing" / "of a killed publish").touch()
    assert roll_back()[:2] == (0, f"published: {base}/4, which is 1 again\n")
    assert contents(base / "4").keys() == contents(base / "1").keys()


def test_what_is_served_is_not_published_again(base, publish, roll_back):
    for name in "abc":
        publish(name)
    roll_back("--number", "1")
    before = contents(base)
    said = f"--number: expected an older one of {base} than CURRENT, got 4, which is served already"
    assert roll_back("--number", "4") == (1, "", f"error: {said}\n")
    assert contents(base) == before
    # Not so where TensorFlow Serving has another one, whatever a publish left there.
    (base / "5").mkdir()
    assert roll_back("--number", "4")[0] == 0
    assert (base / "CURRENT").read_text() == "6\n"


def test_a_model_that_was_rolled_back_from_is_not_published_unawares(make_export, base, publish, roll_back):
    bad = make_export("bad")
    for export in ("one", bad):
        publish(export)
    roll_back()
    made_anew(bad)
    code, _, err = publish(bad)
    said = f"{bad}: a rollback went back from this export's model, says {base}/3/published.json; --again publishes it"
    assert (code, err) == (1, f"error: {said} all the same\n")
    assert (base / "CURRENT").read_text() == "3\n"
    # Nor is it once another one is served, and no rollback from that goes back to it.
    publish("next")
    code, _, err = publish(bad)
    assert (code, f"a rollback went back from this export's model, says {base}/4/published.json" in err) == (1, True)
    assert roll_back()[1] == f"published: {base}/5, which is 3 again\n"
    assert publish(bad, "--again")[:2] == (0, f"published: {base}/6\n")
    # What is served now may be exported otherwise.
    rewrite(bad, spec_digest="of other keys")
    assert publish(bad)[:2] == (0, f"published: {base}/7\n")


def killed_before_current(base, number):
    """A publish or rollback made a whole number after this one, and was killed before CURRENT said so."""
    (base / "CURRENT").write_text(f"{number}\n")


def test_a_rollback_is_also_from_what_a_killed_publish_left_above_current(base, publish, roll_back):
    for name in ("a", "b", "bad"):
        publish(name)
    killed_before_current(base, 2)
    code, out, err = roll_back()
    assert (code, out) == (0, f"published: {base}/4, which is 1 again\n")
    assert err == (
        f"{base}/3: CURRENT is 2, so its publish was killed, has failed or is at work; the rollback is from both\n"
    )  # fmt: skip
    record = json.loads((base / "4" / "published.json").read_text())
    assert record["rolled_back_from"] == ["digest of b", "digest of bad"]
    for name in ("bad", "b"):
        code, _, err = publish(name)
        assert (code, err) == (
            1,
            f"error: {base.parent}/exports/{name}: a rollback went back from this export's model, says "
            f"{base}/4/published.json; --again publishes it all the same\n",
        )
    assert (base / "CURRENT").read_text() == "4\n"


def test_a_rollback_to_the_number_of_current_is_from_the_killed_publish_alone(base, publish, roll_back):
    for name in ("a", "b", "bad"):
        publish(name)
    killed_before_current(base, 2)
    code, out, _ = roll_back("--number", "2")
    assert (code, out) == (0, f"published: {base}/4, which is 2 again\n")
    assert json.loads((base / "4" / "published.json").read_text())["rolled_back_from"] == ["digest of bad"]
    assert publish("bad")[0] == 1


def test_a_rollback_that_was_killed_is_repeated_to_the_same_model(base, publish, roll_back):
    for name in "abc":
        publish(name)
    roll_back()
    killed_before_current(base, 3)
    # TensorFlow Serving has what it went back to, so that a task which is tried again doesn't bring the bad one back.
    bad = base.parent / "exports" / "c"
    said = f"{bad}: a rollback went back from this export's model, says {base}/4/published.json; --again publishes it"
    refused = publish(bad)
    assert refused == (1, "", f"error: {said} all the same\n")
    assert (base / "CURRENT").read_text() == "3\n"
    assert roll_back() == (0, f"published: {base}/5, which is 2 again\n", "")
    assert (base / "CURRENT").read_text() == "5\n"


def test_a_publish_after_a_killed_rollback_is_held_to_the_model_gone_back_to(base, publish, roll_back):
    for name in ("a", "bad"):
        publish(name)
    roll_back()
    killed_before_current(base, 2)
    code, _, err = publish("next", "--after", 2)
    assert (code, err) == (
        1,
        f"error: {base}: expected 2 to be served, which --after says the gate judged by, found 3: something was "
        "published or rolled back since; gate the model again\n",
    )
    assert (base / "CURRENT").read_text() == "2\n"
    assert publish("next", "--after", 3)[:2] == (0, f"published: {base}/4\n")
    assert (base / "CURRENT").read_text() == "4\n"
    # Nor is it in the way of a copy above it, as a publish to gs:// leaves it that began before.
    killed_before_current(base, 2)
    assert publish("next", "--after", 3)[:2] == (0, f"published: {base}/4\n")


def test_a_rollback_outlives_its_own_number(base, publish, roll_back):
    for name in ("a", "bad"):
        publish(name)
    roll_back()
    for number in (1, 3, 3):  # to the same one again, as a script may that goes by number
        roll_back("--number", number, "--set", "gate.keep=3")
    assert published(base) == {2: "bad", 4: "a", 5: "a", 6: "a"}
    assert roll_back()[0] == publish("bad")[0] == 1
    # Until it is wanted again.
    roll_back("--number", 2)
    publish("next")
    assert roll_back()[1] == f"published: {base}/9, which is 7 again\n"


def test_a_rollback_outlives_its_number_where_the_model_gone_back_to_is_exported_anew(
    make_export, base, publish, roll_back
):
    """As by a job for each change of the offer."""
    a, bad = make_export("a"), make_export("bad")
    for export in (a, bad):
        publish(export)
    roll_back()
    for offer in range(3):
        rewrite(a, content={"items": str(offer)})
        assert publish(a, "--set", "gate.keep=3")[0] == 0
    assert published(base) == {2: "bad", 4: "a", 5: "a", 6: "a"}
    assert roll_back()[0] == 1
    refused = publish(bad)
    said = f"{bad}: a rollback went back from this export's model, says {base}/6/published.json; --again publishes it"
    assert refused == (1, "", f"error: {said} all the same\n")
    # Until it is wanted again, and for the next one too.
    assert publish(bad, "--again")[0] == 0
    publish("next")
    assert roll_back()[1] == f"published: {base}/9, which is 7 again\n"


def test_rollbacks_push_no_model_out(base, publish, roll_back):
    for name in "abc":
        publish(name, "--set", "gate.keep=3")
    for number in (2, 3, 4):
        roll_back("--number", number, "--set", "gate.keep=3")
    assert published(base) == {1: "a", 4: "b", 5: "c", 6: "b"}
    publish("d", "--set", "gate.keep=3")
    assert published(base) == {5: "c", 6: "b", 7: "d"}


def test_a_rollback_on_one_disk_takes_no_room_and_outlives_the_older_number(base, publish, roll_back, monkeypatch):
    for name in "ab":
        publish(name)
    # What is published is nobody else's, so that nothing done to an export reaches it.
    assert (base / "1" / "saved_model.pb").stat().st_nlink == 1
    roll_back("--set", "gate.keep=3")
    assert (base / "3" / "saved_model.pb").samefile(base / "1" / "saved_model.pb")
    before = contents(base / "3")
    roll_back("--number", "2", "--set", "gate.keep=2")
    assert published(base) == {3: "a", 4: "b"}
    assert contents(base / "3") == before
    monkeypatch.setattr("os.link", _refuse)
    assert roll_back("--number", "3")[0] == 0
    assert not (base / "5" / "saved_model.pb").samefile(base / "3" / "saved_model.pb")
    Manifest.read(str(base / "5"), "export", verify=True)


def _refuse(*_):
    raise PermissionError
