"""A whole comparison with a pool that makes its numbers up: what is asked and stored, and what tables come of it."""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.bootstrap import Estimate
from model.comparison.fraction import FractionComparison, Stopping
from model.comparison.packed import pack_flags, pack_numbers
from model.comparison.plots import write_plots
from model.comparison.results import read_results
from model.comparison.results_file import write_results
from model.comparison.split_shape import SplitShape, pack_shape
from model.comparison.studies import Study
from model.comparison.tables import tables
from model.comparison.variants import parse_variants
from stage.errors import Interrupted, StageError

QUERIES = np.repeat(np.arange(20), 2)
TAIL = QUERIES % 2 == 1
SLICES = {"overall": np.ones(40, bool), "head": ~TAIL, "tail": TAIL, "cold": QUERIES == 19}


class Pool:
    """Answers as a worker would whose models put each query's first item first, and with CFM the second too."""

    def __init__(self, *, most: int = 10**9) -> None:
        self.asked, self._most = [], most

    def ask(self, request):
        return self.answer(json.loads(request.model_dump_json()))

    def answer(self, request):
        if len(self.asked) >= self._most:
            raise Interrupted("interrupted")
        self.asked.append(request)
        if "shapes" in request:
            return {split: pack_shape(SplitShape(QUERIES, SLICES)).model_dump() for split in ("validation", "test")}
        keys = request.get("train", [])
        seconds = any(key.startswith("ssl.alpha=0.") for key in keys)
        ranks = np.tile([1, 2 if seconds else 0], 20)
        metrics = {"recall@10": float(np.mean(ranks > 0)), "recall@50": float(np.mean(ranks > 0))}
        ranking = {"metrics": dict.fromkeys(SLICES, metrics), "top_50": pack_flags(ranks > 0)}
        found = {"validation": ranking, "cpu_seconds": 1.0}
        if request.get("test", True):
            found["test"] = ranking | {"last_ranks": pack_numbers(ranks)}
        return found


def _run(
    dataset, output: Path, pool: Pool, *, variants="plain,cfm,cfm-no-logq", protocols=("paper", "tuned"), **changed
):
    spec = dataset.spec.model_copy(update={"name": "debian"})
    options = {"trials": 2, "seeds": 2, "most_steps": 100} | changed
    comparison = FractionComparison(
        dataset, spec, pool=pool, studies=str(output / "studies" / "fraction-0.5"), work=str(output / "work"), **options
    )
    with ThreadPoolExecutor(1) as threads:
        for done in as_completed(comparison.submit(threads, variants=parse_variants(variants), protocols=protocols)):
            done.result()


@pytest.fixture(scope="module")
def finished(tiny_dataset, tmp_path_factory):
    output, pool = tmp_path_factory.mktemp("finished"), Pool()
    _run(tiny_dataset, output, pool)
    return output, pool.asked


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


def test_what_is_stored_is_not_asked_for_again(finished, tiny_dataset):
    output, _ = finished
    again = Pool()
    _run(tiny_dataset, output, again)
    assert again.asked == []
    more = Pool()
    _run(tiny_dataset, output, more, seeds=3)
    assert [request["test"] for request in more.asked] == [True] * 5


def test_an_interrupted_comparison_goes_on_where_it_stopped(finished, tiny_dataset, tmp_path):
    _, asked = finished
    first, second = Pool(most=17), Pool()
    with pytest.raises(Interrupted):
        _run(tiny_dataset, tmp_path, first)
    _run(tiny_dataset, tmp_path, second)
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
        StageError, match=r"shapes\.json: expected the splits of dataset \w+, found those of \w+; give another"
    ):
        _run(replace(tiny_dataset, manifest=manifest), finished[0], Pool())
    assert shapes.read_bytes() == before
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    of_another = json.loads(before) | {"dataset": "another"}
    (tmp_path / "studies/fraction-0.5/shapes.json").write_text(json.dumps(of_another))
    with pytest.raises(
        StageError, match=r"popularity\.json: expected trainings on the dataset of shapes\.json beside it"
    ):
        read_results(str(tmp_path), spec_name="shop")


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
        _run(tiny_dataset, tmp_path, OfAnotherVersion(), variants="plain", protocols=("tuned",))
    assert not (tmp_path / "studies/fraction-0.5/tuned/plain.json").exists()


def _with_train(dataset, **changed):
    train = dataset.spec.train.model_copy(update=changed)
    return replace(dataset, spec=dataset.spec.model_copy(update={"train": train}))


def test_another_batch_size_is_refused(finished, tiny_dataset):
    with pytest.raises(StageError, match=r"popularity\.json: expected trainings of spec"):
        _run(_with_train(tiny_dataset, batch_size=128), finished[0], Pool())


def test_a_key_that_only_some_variants_search_is_refused_too(finished, tiny_dataset):
    with pytest.raises(StageError, match=r"popularity\.json: expected trainings of spec"):
        _run(_with_train(tiny_dataset, item_id_dropout=0.2), finished[0], Pool())


def test_settings_that_protocols_set_may_change_in_the_spec(finished, tiny_dataset):
    output, _ = finished
    again = Pool()
    _run(_with_train(tiny_dataset, temperature=0.33, epochs=3), output, again, seeds=3)
    assert again.asked == []


def test_a_key_at_its_default_makes_no_difference(finished, tiny_dataset):
    """So trainings stay known when the spec gets a new key."""
    output, _ = finished
    tree = tiny_dataset.spec.model_dump(mode="json")
    assert "optimizer" in tree["train"]
    del tree["train"]["optimizer"]
    again = Pool()
    other = replace(tiny_dataset, spec=tiny_dataset.spec.model_validate(tree))
    _run(other, output, again, seeds=3)
    assert again.asked == []
    with pytest.raises(StageError, match=r"popularity\.json: expected trainings of spec"):
        _run(_with_train(tiny_dataset, optimizer="adagrad"), output, again)


def test_peers_are_asked_for_by_their_own_settings(tiny_dataset, tmp_path):
    pool = Pool()
    _run(tiny_dataset, tmp_path, pool, variants="implicit-als", peers=".peers")
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


class ValleyPool(Pool):
    """Answers by how near the learning rate is to one, and the weight decay to another, that differ by variant."""

    def answer(self, request):
        answer = super().answer(request)
        keys = dict(key.split("=", 1) for key in request.get("train", []))
        if "train.seed" in keys:
            rate, decay = (4e-3, 0.3) if float(keys["ssl.alpha"]) else (5e-4, 0.1)
            distance = abs(float(keys["train.learning_rate"]) - rate) + abs(float(keys["train.weight_decay"]) - decay)
            answer["validation"] = answer["validation"] | {"metrics": {"overall": {"recall@50": 1 - distance / 4}}}
        return answer


def test_what_one_search_found_of_the_settings_of_all_is_tried_by_the_others(tiny_dataset, tmp_path):
    _run(tiny_dataset, tmp_path, ValleyPool(), variants="plain,cfm", protocols=("tuned",), trials=7)
    keys = ("train.temperature", "train.learning_rate", "train.weight_decay", "train.logq")
    tried, scores = {}, {}
    for name in ("plain", "cfm"):
        lines = (tmp_path / f"studies/fraction-0.5/tuned/{name}.json").read_text().splitlines()[1:-1]
        found = [t for t in (json.loads(line.rstrip(",")) for line in lines) if t["seed"] == 100]
        tried[name] = [tuple(t["settings"][key] for key in keys) for t in found]
        # Plain's eighth is what CFM's search found best.
        for shared, training in list(zip(tried[name], found, strict=True))[: 8 if name == "plain" else 7]:
            recall = training["validation"]["metrics"]["overall"]["recall@50"]
            scores[shared] = max(recall, scores.get(shared, 0.0))
    scouted = tried["plain"].pop(7)
    assert scouted in tried["cfm"][:7]
    best = sorted(scores, key=lambda shared: -scores[shared])[:3]
    for own in tried.values():
        assert set(best) <= {*own, scouted}
        # The best has the smallest learning rate and logQ strength of the grid: what lies beyond is tried too.
        beyond = {(*best[0][:1], 2.5e-4, *best[0][2:]), (*best[0][:3], 0.4)}
        assert (best[0][1], best[0][3]) == (5e-4, 0.5)
        assert set(own[7:]) <= set(best) | beyond
        assert beyond <= set(own)
    assert not set(best) <= set(tried["cfm"][:7])

    again = ValleyPool()
    _run(tiny_dataset, tmp_path, again, variants="plain,cfm", protocols=("tuned",), trials=7)
    assert again.asked == []
    whole, stopped = ValleyPool(), tmp_path / "stopped"
    _run(tiny_dataset, tmp_path / "whole", whole, variants="plain,cfm", protocols=("tuned",), trials=7)
    # 3 for shapes and baselines, 28 for the searches; then in the midst of the exchange.
    first, second = ValleyPool(most=3 + 28 + 3), ValleyPool()
    with pytest.raises(Interrupted):
        _run(tiny_dataset, stopped, first, variants="plain,cfm", protocols=("tuned",), trials=7)
    _run(tiny_dataset, stopped, second, variants="plain,cfm", protocols=("tuned",), trials=7)
    asked = [[request.get("train") for request in pool.asked] for pool in (first, second, whole)]
    assert asked[0] + asked[1] == asked[2]
    # A search that is made longer ends as if it had been so long from the start.
    longer = "plain,cfm"
    for name, trials in (("at once", (6,)), ("in turns", (3, 6))):
        for number in trials:
            _run(tiny_dataset, tmp_path / name, ValleyPool(), variants=longer, protocols=("tuned",), trials=number)
    tried = [
        {
            json.dumps(training.settings, sort_keys=True)
            for training in Study.recorded(
                str(tmp_path / name / f"studies/fraction-0.5/tuned/{variant}.json")
            ).trainings
        }
        for variant in ("plain", "cfm")
        for name in ("at once", "in turns")
    ]
    assert tried[0] <= tried[1]
    assert tried[2] <= tried[3]
    # What another variant finds later is tried by those that were there.
    _run(tiny_dataset, tmp_path, again, variants="plain,cfm,so", protocols=("tuned",), trials=7)
    assert any("spread_out" in key for request in again.asked for key in request["train"])


class ColdPool(Pool):
    """Answers where the spec has `split.cold_items`: cold pairs are found among the cold alone, and once corrected."""

    def answer(self, request):
        answer = super().answer(request)
        if "shapes" not in request and request.get("test", True):
            cold = SLICES["cold"]
            answer["test"]["cold_last_ranks"] = pack_numbers(np.full(np.sum(cold), 11))
            if "train" in request:
                ranks = np.tile([1, 0], 20)
                ranks[cold] = [1, 2]
                test = answer["test"] | {"last_ranks": pack_numbers(ranks)}
                answer["corrections"] = {"0.0": {"shift": 0.25, "test": test}, "0.02": {"shift": 0.5, "test": test}}
        return answer


def test_cold_items_have_tables_of_their_own(tiny_dataset, tmp_path):
    split = tiny_dataset.spec.split.model_copy(update={"cold_items": 0.1})
    dataset = replace(tiny_dataset, spec=tiny_dataset.spec.model_copy(update={"split": split}))
    _run(dataset, tmp_path, ColdPool(), variants="plain", protocols=("tuned",))
    results = read_results(str(tmp_path), spec_name="debian")
    assert results.fractions["0.5"].cold_items == 0.1
    rows = results.fractions["0.5"].protocols["tuned"].rows
    corrected = ["plain + cold correction", "plain + cold correction at 2%"]
    assert list(rows) == ["popularity", "co-occurrence", "plain", *corrected]
    assert rows["plain"].metrics["cold_among_cold/recall@50"].value == 1.0
    assert rows["plain"].metrics["cold_among_cold/recall@10"].value == 0.5  # of two that tie at 11 one is tenth
    assert rows["plain + cold correction"].gains["cold/recall@10"].value == 1.0
    assert rows["plain + cold correction"].gains["cold_among_cold/recall@10"].value == 0.0
    assert [rows[name].settings for name in corrected] == [{"cold shift": 0.25}, {"cold shift": 0.5}]
    text = tables(results)
    assert "## debian, 50% of the training pairs, 10% of the items without any, tuned" in text
    assert "what CFM gains" not in text
    values, gains, wide, over_corrected, over_bought = text.split(
        "Cold items, ranked among all items and among the cold ones alone:"
    )[1].split("Gain over")
    # One of two pairs is found in all, both are where cold items are corrected; no resample has only one of the two.
    assert "| plain | " + "0.500 [0.500, 0.500] | " * 5 + "1.0" in values
    assert "| plain + cold correction | 0.525" in values
    assert "| +5.0%" in gains
    assert "| +5.0%" in wide
    assert "| popularity | -" in over_corrected
    assert "| plain |" not in over_corrected + over_bought.split("|  | chosen")[0]
    assert over_bought.startswith(" plain + cold correction at 2%, intervals over queries and seeds:")
    assert write_plots(results, str(tmp_path / "plots"))


def test_results_and_tables(finished):
    results = read_results(str(finished[0]), spec_name="shop")
    found = results.fractions["0.5"]
    assert found.test_pairs == {"overall": 40, "head": 20, "tail": 20, "cold": 2}
    rows = found.protocols["tuned"].rows
    assert list(rows) == ["popularity", "co-occurrence", "plain", "cfm"]
    # Plain finds one of two pairs of every query, CFM both; so does every resample.
    assert rows["plain"].metrics["overall/recall@10"] == Estimate(0.5, low=0.5, high=0.5)
    assert rows["cfm"].gains["tail/recall@10"] == Estimate(1.0, low=1.0, high=1.0)
    assert rows["plain"].metrics["overall/map@10"].value == pytest.approx(0.5)
    assert rows["cfm"].gain_by_seed[:2] == [1.0, 1.0]
    assert rows["cfm"].trials == 2 + 2
    assert "cfm-no-logq" in found.protocols["paper"].rows

    text = tables(results)
    assert "## shop, 50% of the training pairs, tuned" in text
    assert "40 test pairs (20 head, 20 tail; 2 of all cold)" in text
    assert "| plain | 0.500 [0.500, 0.500] | 0.500 [0.500, 0.500] |" in text
    assert "| cfm | +100.0% [+100.0%, +100.0%] |" in text
    assert re.search(r"\| cfm \| .*ssl.alpha 0.3.* \| 4 \| [23] \| - \| 0.0000 \|", text)
    widths = {line.count("|") for line in text.split("Gain over plain, ")[0].splitlines() if line.startswith("|")}
    assert widths == {9}


def test_tables_say_whose_choice_was_changed_after_test_had_been_read(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    assert "more than one choice" not in tables(read_results(str(tmp_path), spec_name="shop"))
    study = Study.recorded(str(tmp_path / "studies" / "fraction-0.5" / "tuned" / "cfm.json"))
    earlier = study.reported()[0]
    study.add(earlier.model_copy(update={"settings": earlier.settings | {"ssl.alpha": 0.9}}))
    text = tables(read_results(str(tmp_path), spec_name="shop"))
    assert text.count("Test was read for more than one choice of cfm (2); the last one is shown.") == 1


def test_without_logq_cfm_s_gain_over_plain_without_it_is_shown(tiny_dataset, tmp_path):
    variants = "plain,cfm,plain-no-logq,cfm-no-logq"
    _run(tiny_dataset, tmp_path, Pool(), variants=variants, protocols=("paper",))
    results = read_results(str(tmp_path), spec_name="shop")
    rows = results.fractions["0.5"].protocols["paper"].rows
    over = {name: list(row.gains_over) for name, row in rows.items() if row.gains_over}
    assert over == {"cfm-no-logq": ["plain-no-logq"]}
    text = tables(results)
    gains = text.split("Gain over plain-no-logq, intervals over queries and seeds:")[1].split("|  | chosen")[0]
    assert "| cfm-no-logq | +100.0% [+100.0%, +100.0%] |" in gains
    assert "| cfm |" not in gains


class SeedPool(Pool):
    """Plain with seed 2 finds the second item too."""

    def answer(self, request):
        answer = super().answer(request)
        if request.get("test") and "train.seed=2" in request["train"]:
            answer["test"] |= {"last_ranks": pack_numbers(np.tile([1, 2], 20))}
        return answer


def test_gains_are_of_the_seeds_that_both_have(tiny_dataset, tmp_path):
    _run(tiny_dataset, tmp_path, SeedPool(), variants="plain,cfm", protocols=("tuned",))
    _run(tiny_dataset, tmp_path, SeedPool(), variants="plain", protocols=("tuned",), seeds=3)
    rows = read_results(str(tmp_path), spec_name="shop").fractions["0.5"].protocols["tuned"].rows
    assert (rows["plain"].seeds, rows["cfm"].seeds) == ([0, 1, 2], [0, 1])
    assert rows["plain"].metrics["overall/recall@10"].value == pytest.approx(2 / 3)
    assert rows["cfm"].metrics["overall/recall@10"].value == 1.0
    for gains in (rows["cfm"].gains, rows["cfm"].gains_seeds_too):
        assert gains["overall/recall@10"] == Estimate(1.0, low=1.0, high=1.0)
    assert rows["popularity"].gains["overall/recall@10"].value == pytest.approx(-0.25)


def test_plots_are_drawn(finished, tmp_path):
    paths = write_plots(read_results(str(finished[0]), spec_name="shop"), str(tmp_path))
    names = [Path(path).name for path in paths]
    assert names == ["alpha.png", "dropout_rate.png", "head_and_tail.png", "overall_and_tail.png"]
    assert all(Path(path).read_bytes().startswith(b"\x89PNG") for path in paths)


def test_a_truncated_study_stops_the_tables_by_name(finished, tmp_path):
    for path in (finished[0] / "studies").rglob("*.json"):
        copy = tmp_path / path.relative_to(finished[0])
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    broken = tmp_path / "studies/fraction-0.5/tuned/cfm.json"
    broken.write_bytes(broken.read_bytes()[:-40])
    with pytest.raises(StageError, match=re.escape(f"{broken}: not a whole study")):
        read_results(str(tmp_path), spec_name="shop")


def test_half_written_files_of_a_killed_process_are_passed_over(finished, tmp_path):
    for path in (finished[0] / "studies").rglob("*.json"):
        copy = tmp_path / path.relative_to(finished[0])
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (tmp_path / "studies/fraction-0.5/tuned/cfm.json.1234.tmp").write_text('{"half')
    assert read_results(str(tmp_path), spec_name="shop") == read_results(str(finished[0]), spec_name="shop")


def test_stopping_by_hand():
    # 102 steps an epoch: every 25, eight checks, 4,000 steps are 39.2 epochs.
    assert Stopping.of(102, most_steps=4000) == Stopping(25, 8, 40)
    # 11 steps: every 2, and 40 steps without a better check before it ends.
    assert Stopping.of(11, most_steps=4000) == Stopping(2, 20, 364)
    # 12 steps: 13 checks, every 3, would be one step short of 40.
    assert Stopping.of(12, most_steps=24) == Stopping(3, 14, 2)
    assert Stopping.of(2, most_steps=10) == Stopping(1, 40, 5)


def test_results_json_has_no_nan_and_its_keys_stay(finished, tmp_path):
    results = read_results(str(finished[0]), spec_name="shop")
    json.dumps(results.model_dump(), allow_nan=False)
    path = tmp_path / "results.json"
    write_results(str(path), results)
    found = json.loads(path.read_text())
    assert (found.keys(), found["spec"]) == ({"spec", "resamples", "fractions"}, "shop")
    assert found["fractions"]["0.5"].keys() == {"dataset", "test_pairs", "protocols"}
    rows, trials = found["fractions"]["0.5"]["protocols"]["tuned"].values()
    assert trials["cfm"][0].keys() == {"settings", "seeds", "recall@50", "tail_recall@50", "failures"}
    gains = {"gains", "gains_seeds_too", "gain_by_seed"}
    assert rows["cfm"].keys() - rows["plain"].keys() == gains
    assert rows["cfm"]["gains"]["tail/recall@10"] == {"value": 1.0, "low": 1.0, "high": 1.0}
