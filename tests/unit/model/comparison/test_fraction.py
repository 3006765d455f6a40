"""A whole comparison with a pool that makes its numbers up: what is asked and stored."""

import json
import re
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_pool import SLICES, Pool, make_comparison, run_comparison

from features.spec.file import build_spec
from model.comparison.decided_keys import _TELL_APART
from model.comparison.fraction import stopping
from model.comparison.results import read_results
from model.comparison.split_shape import SplitShape, pack_shape
from model.comparison.studies import Study
from model.comparison.tables import tables
from model.comparison.variants import VARIANTS, parse_variants
from stage.errors import Interrupted, StageError


def test_asks_for_as_much_as_the_protocols_say(finished):
    _, asked = finished
    assert sum("baseline" in request for request in asked) == 2
    trainings = [request for request in asked if "train" in request]
    # Paper: 12 for cfm. Tuned: 2 trials of 2 seeds for both; of these the three best have other settings of what both
    # have, so plain tries CFM's second, and CFM plain's second and, with the rest of its best, its own.
    assert [request["test"] for request in trainings].count(False) == 12 + 2 * 2 * 2 + 2 * (1 + 2)
    # Reported: 2 seeds of 5 rows.
    assert [request["test"] for request in trainings].count(True) == 2 * 5
    for request in trainings:
        # 500 examples in batches of 64 are 8 steps an epoch.
        assert {"train.validate_every=2", "train.patience=20", "train.epochs=13"} <= set(request["train"])
    assert len({request["directory"] for request in trainings}) == len(trainings)


def test_a_variant_that_takes_a_choice_over_keeps_what_makes_it(finished):
    chosen, without_logq = (
        Study(f"{finished[0]}/studies/fraction-0.5/paper/{name}.json").chosen for name in ("cfm", "cfm-no-logq")
    )
    assert chosen["train.logq"] == 1.0
    assert without_logq == chosen | {"train.logq": 0}


def test_variants_of_equal_settings_train_in_directories_of_their_own(tiny_dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(VARIANTS, "cfm-twin", replace(VARIANTS["cfm"], name="cfm-twin"))
    pool = Pool()
    run_comparison(tiny_dataset, tmp_path, pool, variants="cfm,cfm-twin", protocols=("tuned",), trials=1)
    trainings = [request for request in pool.asked if "train" in request]
    asked = [tuple(request["train"]) for request in trainings]
    assert len(set(asked)) < len(asked)
    assert len({request["directory"] for request in trainings}) == len(trainings)


class InPairs(Pool):
    """Has two workers, of which neither answers before the other was asked too."""

    workers = 2
    _both = threading.Barrier(2, timeout=60)

    def answer(self, request):
        if "train" in request:
            self._both.wait()
        return super().answer(request)


def test_seeds_of_one_setting_train_at_the_same_time(tiny_dataset, tmp_path):
    run_comparison(tiny_dataset, tmp_path, InPairs(), variants="plain", protocols=("tuned",))
    study = Study(f"{tmp_path}/studies/fraction-0.5/tuned/plain.json")
    # Two trials and the report, in whichever order a pair ended.
    assert sorted(training.seed for training in study.trainings) == [0, 1, 100, 100, 101, 101]


class OneFails(Pool):
    """Has two workers: one fails at the first seed of a report, the other is busy with the next."""

    workers = 2

    def __init__(self):
        super().__init__()
        self.told, self.ended = threading.Event(), []

    def answer(self, request):
        if request.get("test"):
            if "train.seed=0" in request["train"]:
                raise StageError("a worker failed")
            self.told.wait(20)
            self.ended.append(request)
        return super().answer(request)


def test_a_failure_is_told_without_waiting_for_the_other_seeds(tiny_dataset, tmp_path):
    pool = OneFails()
    with pytest.raises(StageError, match="a worker failed"):
        run_comparison(tiny_dataset, tmp_path, pool, variants="plain", protocols=("tuned",), seeds=5)
    assert pool.ended == []
    pool.told.set()


def test_what_is_stored_is_not_asked_for_again(finished, tiny_dataset):
    output, _ = finished
    again = Pool()
    run_comparison(tiny_dataset, output, again)
    assert again.asked == []
    more = Pool()
    run_comparison(tiny_dataset, output, more, seeds=3)
    assert [request["test"] for request in more.asked] == [True] * 5


def test_an_interrupted_comparison_goes_on_where_it_stopped(finished, tiny_dataset, tmp_path):
    _, asked = finished
    first, second = Pool(most=17), Pool()
    with pytest.raises(Interrupted):
        run_comparison(tiny_dataset, tmp_path, first)
    run_comparison(tiny_dataset, tmp_path, second)
    assert len(first.asked) == 17
    names = [
        [request.get("directory", "").split("/")[-1] for request in some] for some in (first.asked, second.asked, asked)
    ]
    assert names[0] + names[1] == names[2]


def test_stored_ranks_are_never_read_with_the_pairs_of_another_dataset(finished, tiny_dataset, tmp_path):
    manifest = tiny_dataset.manifest.model_copy(update={"content": {"another": "digest"}})
    shapes = finished[0] / "studies/fraction-0.5/shapes.json"
    before = shapes.read_bytes()
    with pytest.raises(
        StageError, match=r"shapes\.json: expected the splits of dataset \w{12}, found those of \w{12}; the log"
    ):
        run_comparison(replace(tiny_dataset, manifest=manifest), finished[0], Pool())
    assert shapes.read_bytes() == before
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    of_another = json.loads(before) | {"dataset": "another"}
    (tmp_path / "studies/fraction-0.5/shapes.json").write_text(json.dumps(of_another))
    with pytest.raises(
        StageError, match=r"popularity\.json: expected trainings on the dataset of shapes\.json beside it"
    ):
        read_results(str(tmp_path), spec_name="shop")


def test_keys_that_the_spec_sets_for_all_variants_are_kept_and_told(finished, tiny_dataset, tmp_path):
    asked = {"variants": "rfm", "protocols": ("tuned",), "trials": 1}
    ssl = tiny_dataset.spec.ssl.model_copy(update={"complement": False, "alpha": 0.0, "temperature": 0.2})
    other = _with_train(tiny_dataset, uniform_negatives=7)
    other = replace(other, spec=other.spec.model_copy(update={"ssl": ssl}))
    run_comparison(other, tmp_path, Pool(), **asked)
    results = read_results(str(tmp_path), spec_name="shop")
    keys = "ssl.complement=false, train.uniform_negatives=7"
    assert results.fractions["0.5"].held_for_all == keys
    said = (
        f"The spec sets {keys} for every variant that doesn't set it itself, so rows may not be what their names say."
    )
    assert tables(results).count(said) == 1
    again = Pool()
    run_comparison(other, tmp_path, again, **asked)
    assert again.asked == []
    with pytest.raises(StageError, match=r"plain\.json: expected trainings of this spec, "):
        run_comparison(tiny_dataset, tmp_path, Pool(), **asked)
    # Keys that a protocol decides make no difference.
    plain = replace(
        tiny_dataset, spec=tiny_dataset.spec.model_copy(update={"ssl": ssl.model_copy(update={"complement": True})})
    )
    assert "spec_keys" not in make_comparison(plain, tmp_path / "plain", Pool())._context
    assert "The spec sets" not in tables(read_results(str(finished[0]), spec_name="shop"))


def test_the_document_names_the_keys_that_tell_variants_apart():
    text = (Path(__file__).parents[4] / "docs/comparing.md").read_text()
    sentence = " ".join(text.split()).partition("stderr and `tables.md` name it. They are ")[2].partition(". ")[0]
    train, _, ssl = sentence.partition("and of `ssl` ")
    named = re.findall("`([^`]+)`", train) + [f"ssl.{key}" for key in re.findall("`([^`]+)`", ssl)]
    assert sorted(named) == sorted(_TELL_APART)


class OfAnotherLog(Pool):
    """Has another test split."""

    def answer(self, request):
        answer = super().answer(request)
        if "shapes" in request:
            shape = SplitShape(np.repeat(np.arange(10), 4), SLICES)
            answer["test"] = pack_shape(shape).model_dump()
        return answer


def test_another_test_split_beside_the_stored_one_is_refused_before_anything_is_stored(
    finished, tiny_dataset, tmp_path
):
    shutil.copytree(finished[0] / "studies/fraction-0.5", tmp_path / "studies/fraction-1")
    pool = OfAnotherLog()
    with pytest.raises(
        StageError, match=r"fraction-0\.5/shapes\.json: expected the test split of .*/fraction-1/shapes"
    ):
        run_comparison(tiny_dataset, tmp_path, pool)
    assert len(pool.asked) == 1
    assert not (tmp_path / "studies/fraction-0.5").exists()


def test_a_share_with_other_settings_beside_the_stored_ones_is_refused(finished, tiny_dataset, tmp_path):
    shutil.copytree(finished[0] / "studies/fraction-0.5", tmp_path / "studies/fraction-1")
    message = r"fraction-0\.5/shapes\.json: expected what trainings read of the spec to be that of .*/fraction-1/shapes"
    spec = tiny_dataset.spec
    fewer = replace(
        tiny_dataset, spec=spec.model_copy(update={"query": spec.query.model_copy(update={"features": {}})})
    )
    others = (
        (_with_train(tiny_dataset, optimizer="adagrad"), {}),
        (tiny_dataset, {"most_steps": 7}),
        (fewer, {}),
    )
    for dataset, more in others:
        pool = Pool()
        with pytest.raises(StageError, match=message):
            run_comparison(dataset, tmp_path, pool, **more)
        assert len(pool.asked) == 1
    half = spec.split.model_copy(update={"train_fraction": 0.5})
    slower = spec.sources.model_copy(update={"item_join": "shuffle"})
    same = spec.model_copy(update={"split": half, "sources": slower})
    run_comparison(replace(tiny_dataset, spec=same), tmp_path, Pool(), variants="plain")
    shutil.rmtree(tmp_path / "studies/fraction-0.5")
    # What another version left says nothing of it.
    path = tmp_path / "studies/fraction-1/shapes.json"
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "spec"}))
    run_comparison(_with_train(tiny_dataset, optimizer="adagrad"), tmp_path, Pool(), variants="plain")


def test_stored_variants_that_are_not_offered_what_a_search_finds_are_named(finished, tiny_dataset, tmp_path, capsys):
    said = "warning: --variants leaves out so, stored before: what this command's searches find isn't tried for them; "
    run_comparison(tiny_dataset, tmp_path, Pool(), variants="plain,so", protocols=("tuned",))
    run_comparison(tiny_dataset, tmp_path, Pool(), variants="plain,implicit-als", protocols=("tuned",), peers=".peers")
    assert "leaves out" not in capsys.readouterr().err
    run_comparison(tiny_dataset, tmp_path, Pool(), variants="plain,fd", protocols=("paper",))
    assert "leaves out" not in capsys.readouterr().err
    run_comparison(tiny_dataset, tmp_path, Pool(), variants="plain,fd", protocols=("tuned",))
    assert said in capsys.readouterr().err


class OfAnotherVersion(Pool):
    """Ranks a pair less than it says there are."""

    def answer(self, request):
        answer = super().answer(request)
        if "train" in request:
            answer["validation"]["metrics"]["overall"] = {"recall@10": 0.5, "recall@50": 0.5, "pairs": 39.0}
        return answer


def test_rankings_of_other_pairs_than_those_before_are_refused(tiny_dataset, tmp_path):
    message = r"plain\.json: expected rankings of 40 validation pairs, as those before, got 39: another version"
    with pytest.raises(StageError, match=message):
        run_comparison(tiny_dataset, tmp_path, OfAnotherVersion(), variants="plain", protocols=("tuned",))
    assert not (tmp_path / "studies/fraction-0.5/tuned/plain.json").exists()


def _with_train(dataset, **changed):
    train = dataset.spec.train.model_copy(update=changed)
    return replace(dataset, spec=dataset.spec.model_copy(update={"train": train}))


def test_another_batch_size_is_refused(finished, tiny_dataset):
    with pytest.raises(StageError, match=r"plain\.json: expected trainings of this spec, "):
        run_comparison(_with_train(tiny_dataset, batch_size=128), finished[0], Pool())


def test_a_key_that_only_some_variants_search_is_refused_too(finished, tiny_dataset):
    with pytest.raises(StageError, match=r"plain\.json: expected trainings of this spec, "):
        run_comparison(_with_train(tiny_dataset, item_id_dropout=0.2), finished[0], Pool())


def test_settings_that_protocols_set_may_change_in_the_spec(finished, tiny_dataset):
    output, _ = finished
    again = Pool()
    run_comparison(_with_train(tiny_dataset, temperature=0.33, epochs=3), output, again, seeds=3)
    assert again.asked == []


def test_keys_that_cost_time_and_memory_alone_may_change_in_the_spec(finished, tiny_dataset):
    spec, again = _with_train(tiny_dataset, checkpoint_every=5).spec, Pool()

    def go_on(**changed):
        changed_too = spec.model_copy(update={"evaluate": spec.evaluate.model_copy(update=changed)})
        run_comparison(replace(tiny_dataset, spec=changed_too), finished[0], again, seeds=3)

    go_on(batch_size=16)
    with pytest.raises(StageError, match=r"plain\.json: expected trainings of this spec, "):
        go_on(exclude_known=False)
    assert again.asked == []


def test_a_key_at_its_default_makes_no_difference(finished, tiny_dataset):
    """So trainings stay known when the spec gets a new key."""
    output, _ = finished
    tree = tiny_dataset.spec.model_dump(mode="json")
    assert "optimizer" in tree["train"]
    del tree["train"]["optimizer"]
    again = Pool()
    other = replace(tiny_dataset, spec=tiny_dataset.spec.model_validate(tree))
    run_comparison(other, output, again, seeds=3)
    assert again.asked == []
    with pytest.raises(StageError, match=r"plain\.json: expected trainings of this spec, "):
        run_comparison(_with_train(tiny_dataset, optimizer="adagrad"), output, again)


def test_how_much_there_is_to_train(tiny_dataset, tmp_path):
    comparison = make_comparison(tiny_dataset, tmp_path, Pool())  # two trials, two seeds
    variants = parse_variants("plain,fd,so,cfm,cfm-no-logq")
    assert comparison.planned(variants, "paper") == 2 + (9 + 2) + (4 + 2) + (12 + 2) + 2
    assert comparison.planned(variants, "tuned") == 4 * (2 * 2 + 2)
    assert comparison.planned(parse_variants("plain,implicit-als"), "tuned") == (2 * 2 + 2) + (4 * 2 + 2)


def test_a_training_is_asked_for_by_its_own_settings_beside_the_spec_s(tiny_dataset, tmp_path):
    pool, other = Pool(), _with_train(tiny_dataset, item_id_dropout=0.25, temperature=0.33, patience=99)
    run_comparison(other, tmp_path, pool, variants="plain,cfm", protocols=("tuned",), trials=1)
    asked = [build_spec(tiny_dataset.manifest.spec, r["train"], source="test") for r in pool.asked if "train" in r]
    found = {(s.ssl.alpha, s.train.temperature, s.train.item_id_dropout, s.train.patience, s.train.seed) for s in asked}
    # What the spec says of a key that is searched for, or by which a training ends, gives way.
    assert found == {(alpha, 0.1, 0.25, 20, seed) for alpha in (0, 0.3) for seed in (100, 101, 0, 1)}


def test_peers_are_asked_for_by_their_own_settings(tiny_dataset, tmp_path):
    pool = Pool()
    run_comparison(tiny_dataset, tmp_path, pool, variants="implicit-als", peers=".peers")
    asked = [request for request in pool.asked if "peer" in request]
    # Twice two trials of two seeds, then two seeds; nothing under the paper's protocol.
    assert len(asked) == 10
    assert asked[0]["settings"] == {
        "als.factors": 64,
        "als.regularization": 0.1,
        "als.alpha": 1.0,
        "als.iterations": 15,
    }
    assert {(request["peer"], request["python"]) for request in asked} == {("als", ".peers/implicit/bin/python")}
    assert {"train.patience=20", "train.epochs=13"} <= set(asked[0]["spec"])
    found = read_results(str(tmp_path), spec_name="shop").fractions["0.5"].protocols
    assert "implicit-als" in found["tuned"].rows
    assert "implicit-als" not in found["paper"].rows


def test_stopping_by_hand():
    # 102 steps an epoch: every 25, eight checks, 4,000 steps are 39.2 epochs.
    found = stopping(102, most_steps=4000)
    assert found == ["train.validate_every=25", "train.patience=8", "train.epochs=40"]
    # 11 steps: every 2, and 40 steps without a better check before it ends.
    found = stopping(11, most_steps=4000)
    assert found == ["train.validate_every=2", "train.patience=20", "train.epochs=364"]
    # 12 steps: 13 checks, every 3, would be one step short of 40.
    found = stopping(12, most_steps=24)
    assert found == ["train.validate_every=3", "train.patience=14", "train.epochs=2"]
    found = stopping(2, most_steps=10)
    assert found == ["train.validate_every=1", "train.patience=40", "train.epochs=5"]
