"""Which published model the next one is compared with, and starts from."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
from published_exports import SPEC, publish_export

from features.spec.file import build_spec, load_spec
from model.ranking.champion import find_champion, find_exported, open_model
from pipelines.rollback import rollback
from stage.errors import StageError
from stage.manifest import Manifest
from stage.published import published_models, served_models


def day(test_start, method="time", inputs=None):
    split = load_spec("debian").split.model_copy(update={"method": method, "validation_seconds": 3600})
    manifest = SimpleNamespace(job_options={"test_start": test_start}, inputs=inputs or {})
    return SimpleNamespace(spec=SimpleNamespace(split=split), manifest=manifest)


def test_the_champion_is_the_last_whose_data_ends_before_the_test_split_begins(tmp_path):
    base = tmp_path / "published"
    assert find_champion(served_models(str(base)), day("2009-07-31")) is None
    for end in ("2009-07-28", "2009-07-29T00:00:00Z", "2009-07-30T02:00+02:00"):
        # An older model may have been exported again with the items of a later day.
        publish_export(base, end.replace(":", ""), data_end=end, items_end="2009-08-01")
    numbers = {
        start: getattr(find_champion(served_models(str(base)), day(start)), "number", None)
        for start in ("2009-07-27T23:59:59", "2009-07-28", "2009-07-29", "2009-07-29T23:59:59", "2009-07-30")
    }
    assert list(numbers.values()) == [None, 1, 2, 2, 3]
    assert find_champion(served_models(str(base)), day(None, "pair_hash")).number == 3
    # One that a publish was killed before pointing to is not served, so it is none either.
    (base / "CURRENT").write_text("2\n")
    assert find_champion(served_models(str(base)), day("2009-07-30")).number == 2


def test_after_a_rollback_that_was_killed_before_current_the_champion_is_what_it_went_back_to(tmp_path):
    base = tmp_path / "published"
    for name in ("one", "bad"):
        publish_export(base, name, data_end="2009-07-29")
    # The second goes forward again, and is killed too.
    for wanted, made in ((1, 3), (2, 4)):
        rollback(str(base), wanted, overrides=[])
        (base / "CURRENT").write_text("2\n")
        champion = find_champion(served_models(str(base)), day("2009-07-30"))
        assert (champion.number, champion.record.rolled_back_to) == (made, wanted)


def test_a_model_of_another_split_by_hash_is_no_champion(tmp_path, capsys):
    base = tmp_path / "published"
    publish_export(base, "one")
    publish_export(base, "two", spec=SPEC | {"split": SPEC["split"] | {"seed": 5}})
    capsys.readouterr()
    assert find_champion(served_models(str(base)), day(None, "pair_hash")).number == 1
    assert capsys.readouterr().err == (
        f"{base}/2: no champion, since it may have been trained on this test split: split.seed was 5, is 0\n"
    )


def test_a_split_by_hash_holds_out_other_pairs_where_ids_have_other_pseudonyms(tmp_path, capsys):
    base = tmp_path / "published"
    publish_export(base, "one", pseudonyms="a", data_end="2009-07-30")
    publish_export(base, "two", pseudonyms="b", data_end="2009-07-31")
    capsys.readouterr()
    today = day(None, "pair_hash", inputs={"raw": "today's", "pseudonyms": "a"})
    assert find_champion(served_models(str(base)), today).number == 1
    assert capsys.readouterr().err == (
        f"{base}/2: no champion, since it may have been trained on this test split: ids have other pseudonyms, of "
        "another key or other sources.pseudonymise.columns\n"
    )
    assert find_champion(served_models(str(base)), day(None, "pair_hash")) is None
    assert find_champion(served_models(str(base)), day("2009-07-31")).number == 2


def test_a_newer_model_that_may_know_the_days_of_the_test_split_is_passed_over(tmp_path, capsys):
    base = tmp_path / "published"
    publish_export(base, "one", data_end="2009-07-31")
    publish_export(base, "two", data_end="2009-08-01T00:00:00Z")
    publish_export(base, "three")
    capsys.readouterr()
    assert find_champion(served_models(str(base)), day("2009-07-31")).number == 1
    why = "no champion, since it may have been trained on this test split"
    ends, begins = "2009-08-01T00:00:00+00:00", "2009-07-31T00:00:00+00:00"
    assert capsys.readouterr().err.splitlines() == [
        f"{base}/3: {why}: it doesn't say where its data ends",
        f"{base}/2: {why}: what it was trained on ends {ends}, and the test split begins {begins}",
    ]


def by_time(start):
    split = f"split={{method: time, validation_seconds: 3600, test_start: '{start}'}}"
    return build_spec(SPEC, ["sources.interactions.timestamp=at", split], source="s").model_dump(mode="json")


@pytest.mark.parametrize("data_end", [None, "2009-08-01"])
def test_a_model_that_held_the_same_days_out_is_the_champion(tmp_path, data_end):
    # As of two candidates of a night, or where the spec says when the test split begins.
    base = tmp_path / "published"
    publish_export(base, "one", data_end="2009-07-30")
    publish_export(base, "two", data_end=data_end, spec=by_time("2009-07-31"))
    publish_export(base, "three", data_end=data_end, spec=by_time("2009-07-31T00:00:01"))
    served = served_models(str(base))
    assert find_champion(served, day("2009-07-31")).number == 2
    # It isn't compared with itself.
    challenger = Manifest(stage="model", run_id="r", content={"weights": "1"})
    assert find_champion(served, day("2009-07-31"), other_than=challenger).number == 2
    Manifest(stage="model", run_id="r", content={"weights": "1"}).write(str(tmp_path / "model"))
    publish_export(base, "four", model=tmp_path / "model", data_end=data_end, spec=by_time("2009-07-31"))
    served = served_models(str(base))
    assert find_champion(served, day("2009-07-31")).number == 4
    assert find_champion(served, day("2009-07-31"), other_than=challenger).number == 2


def test_a_night_that_is_repeated_finds_the_model_that_it_found(tmp_path):
    base, champions = tmp_path / "published", {}
    nights = {f"2009-07-{number}": f"2009-07-{number + 1}" for number in range(26, 30)}
    for start, end in nights.items():
        model = Manifest(stage="model", run_id="r", content={"weights": start})
        champions[start] = find_champion(served_models(str(base)), day(start), other_than=model)
        model.write(str(tmp_path / start))
        publish_export(base, start, model=tmp_path / start, data_end=end, spec=by_time(start))
    assert [getattr(found, "number", None) for found in champions.values()] == [None, 1, 2, 3]
    for start, found in champions.items():
        model = Manifest.find(str(tmp_path / start))
        assert find_champion(served_models(str(base)), day(start), other_than=model) == found


def test_a_damaged_number_is_no_champion_and_in_nobody_s_way(tmp_path, capsys):
    base, model = tmp_path / "published", tmp_path / "model"
    Manifest(stage="model", run_id="r").write(str(model))
    for name, end in (("one", "2009-07-28"), ("two", "2009-07-29")):
        publish_export(base, name, model=model, data_end=end)
    publish_export(base, "three", model=model, data_end="2009-08-30")
    (base / "2" / "manifest.json").write_text("{")
    capsys.readouterr()
    assert find_champion(served_models(str(base)), day("2009-07-31")).number == 1
    assert capsys.readouterr().err.startswith(f"{base}/2/manifest.json: not a manifest: ")
    # Where the served one is, a model would be compared with an older one, or with none.
    (base / "3" / "manifest.json").unlink()
    with pytest.raises(StageError, match="/3: expected a whole model, since it is the one served; restore it, or"):
        served_models(str(base))


def exported(base, model):
    """The number of what is published of it."""
    return getattr(find_exported(str(base), Manifest.find(str(model)), directory=str(model)), "number", None)


def test_a_model_that_a_published_one_was_exported_from_is_known_by_place_and_digest(tmp_path, monkeypatch):
    base, model, other = tmp_path / "published", tmp_path / "model", tmp_path / "other"
    Manifest(stage="model", run_id="r").write(str(model))
    Manifest(stage="model", run_id="r", content={"weights": "other"}).write(str(other))
    assert exported(base, model) is None
    publish_export(base, "one", model=model, data_end="2009-07-30")
    publish_export(base, "two", data_end="2009-07-31")
    assert (exported(base, model), exported(base, other)) == (1, None)
    # Moved, with a link at the old place or without, it is the same.
    moved = model.rename(tmp_path / "moved")
    assert exported(base, moved) == 1
    model.symlink_to(moved)
    assert open_model(published_models(str(base))[-1]).directory == str(model)
    assert (exported(base, moved), exported(base, model)) == (1, 1)
    # Another one at its place is in the way of a later gate all the same.
    shutil.copy(other / "manifest.json", model / "manifest.json")
    monkeypatch.chdir(tmp_path)
    assert (exported(base, model), exported(base, "model"), exported(base, "other")) == (1, 1, None)


def test_the_model_behind_a_champion_must_be_there(tmp_path):
    base, model, other = tmp_path / "published", tmp_path / "model", tmp_path / "other"
    Manifest(stage="model", run_id="r").write(str(model))
    Manifest(stage="model", run_id="r", content={"weights": "other"}).write(str(other))
    publish_export(base, "one", model=model)
    champion = find_champion(served_models(str(base)), day(None, "pair_hash"))
    assert open_model(champion).directory == str(model)
    for place, found in ((other, "another one"), (tmp_path / "gone", "nothing")):
        options = {**champion.manifest.job_options, "model": str(place)}
        moved = replace(champion, manifest=champion.manifest.model_copy(update={"job_options": options}))
        with pytest.raises(StageError) as caught:
            open_model(moved)
        assert str(caught.value) == (
            f"{place}: expected the model behind {champion.directory}, where its export found it, found {found}; put "
            "it back there, or link it there if it was moved; if it is gone, judge the new model by its "
            "metrics.json (train takes --cold-start) and publish it without the gate"
        )
    publish_export(base, "two")
    with pytest.raises(StageError, match=r"/2/manifest\.json: expected where its model lies; export the model again"):
        open_model(served_models(str(base))[0])
