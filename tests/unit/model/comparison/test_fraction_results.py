"""What tables, plots and results.json come of a comparison whose numbers a pool makes up."""

import json
import os
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from made_up_pool import SLICES, Pool, run_comparison

from model.comparison.packed import pack_numbers
from model.comparison.plots import write_plots
from model.comparison.results import _gains, _SampledRow, read_results
from model.comparison.results_file import write_results
from model.comparison.split_shape import SplitShape, pack_shape
from model.comparison.studies import Ranking, Study, Training
from model.comparison.tables import tables
from model.ranking.bootstrap import Estimate
from stage.errors import StageError


class ColdPool(Pool):
    """Answers where the spec has `split.cold_items`: cold pairs are found among the cold alone, and once corrected."""

    def answer(self, request):
        answer = super().answer(request)
        if "shapes" not in request and request.get("test", True):
            cold = SLICES["cold"]
            answer["test"]["cold_last_ranks"] = pack_numbers(np.full(np.sum(cold), 11))
            if "train" in request:
                ranks = np.tile([1, 0], 20)
                ranks[cold] = [1, 2, 1, 2]
                test = answer["test"] | {"last_ranks": pack_numbers(ranks)}
                answer["corrections"] = {"0.0": {"shift": 0.25, "test": test}, "0.02": {"shift": 0.5, "test": test}}
        return answer


class UsersPool(Pool):
    """Answers of session mode: both queries of a user are found, or neither."""

    def __init__(self, users):
        super().__init__()
        self._users = users

    def answer(self, request):
        if "shapes" in request:
            shape = SplitShape(np.arange(40), SLICES, users=self._users)
            return dict.fromkeys(("validation", "test"), pack_shape(shape).model_dump())
        answer = super().answer(request)
        if "test" in answer:
            answer["test"] = answer["test"] | {"last_ranks": pack_numbers(np.tile([1, 1, 0, 0], 10))}
        return answer


def test_in_session_mode_intervals_are_over_users(tiny_dataset, tmp_path):
    widths = {}
    for name, users in (("apart", None), ("in pairs", np.repeat(np.arange(20), 2))):
        output = tmp_path / name
        run_comparison(tiny_dataset, output, UsersPool(users), variants="plain", protocols=("tuned",))
        found = read_results(str(output), spec_name="debian").fractions["0.5"]
        recall = found.protocols["tuned"].rows["plain"].metrics["overall/recall@10"]
        assert recall.value == 0.5
        assert found.test_users == (None if users is None else 20)
        widths[name] = recall.high - recall.low
    # Of 40 that are drawn apart, and of 20: the standard deviation of a mean goes by the root of their number.
    assert widths["in pairs"] / widths["apart"] == pytest.approx(2**0.5, rel=0.1)


def test_cold_items_have_tables_of_their_own(tiny_dataset, tmp_path):
    split = tiny_dataset.spec.split.model_copy(update={"cold_items": 0.1})
    dataset = replace(tiny_dataset, spec=tiny_dataset.spec.model_copy(update={"split": split}))
    run_comparison(dataset, tmp_path, ColdPool(), variants="plain", protocols=("tuned",))
    results = read_results(str(tmp_path), spec_name="debian")
    assert results.fractions["0.5"].cold_items == 0.1
    rows = results.fractions["0.5"].protocols["tuned"].rows
    corrected = ["plain + cold correction", "plain + cold correction at 2%"]
    assert list(rows) == ["popularity", "co-occurrence", "plain", *corrected]
    assert rows["plain"].metrics["cold_among_cold/recall@50"].value == 1.0
    assert rows["plain"].metrics["cold_among_cold/recall@10"].value == 0.5  # of two that tie at 11 one is tenth
    assert rows["plain + cold correction"].gains_over["plain"].gains["cold/recall@10"].value == 1.0
    assert rows["plain + cold correction"].gains_over["plain"].gains["cold_among_cold/recall@10"].value == 0.0
    assert [rows[name].settings for name in corrected] == [{"cold constant": 0.25}, {"cold constant": 0.5}]
    text = tables(results)
    assert "## debian, 50% of the training pairs, 10% of the items without any, tuned" in text
    assert "what CFM gains" not in text
    values, gains, wide, over_corrected, over_bought = text.split(
        "Cold items, ranked among all items and among the cold ones alone:"
    )[1].split("Gain over")
    # One of two pairs is found in all, both are where cold items are corrected; no resample has only one of the two.
    assert "| plain | " + "0.500 [0.500, 0.500] | " * 5 + "1.0" in values
    assert "| plain + cold correction | 0.550" in values
    assert "| +10.0%" in gains
    assert "| +10.0%" in wide
    assert "| popularity | -" in over_corrected
    assert "| plain |" not in over_corrected + over_bought.split("|  | chosen")[0]
    assert over_bought.startswith(" plain + cold correction at 2%, intervals over queries and seeds:")
    write_plots(results, str(tmp_path / "plots"))
    assert "overall_and_tail.png" in os.listdir(tmp_path / "plots")


def test_trainings_of_two_specs_make_no_table(finished, tiny_dataset, tmp_path):
    train = tiny_dataset.spec.train.model_copy(update={"batch_size": 128})
    other = replace(tiny_dataset, spec=tiny_dataset.spec.model_copy(update={"train": train}))
    run_comparison(other, tmp_path, Pool(), variants="plain", protocols=("paper",))
    studies = tmp_path / "studies/fraction-0.5"
    shutil.copy(finished[0] / "studies/fraction-0.5/paper/cfm.json", studies / "paper/cfm.json")
    with pytest.raises(StageError, match=r"/plain\.json and .*/paper/cfm\.json: expected trainings that differ by"):
        read_results(str(tmp_path), spec_name="shop")
    (studies / "paper/cfm.json").unlink()
    (studies / "shapes.json").unlink()
    with pytest.raises(StageError, match=r"/fraction-0\.5/shapes\.json: missing, so nobody knows the pairs"):
        read_results(str(tmp_path), spec_name="shop")


def test_results_and_tables(finished):
    results = read_results(str(finished[0]), spec_name="shop")
    found = results.fractions["0.5"]
    assert found.test_pairs == {"overall": 40, "head": 20, "tail": 20, "cold": 4, "new_queries": 6}
    rows = found.protocols["tuned"].rows
    assert list(rows) == ["popularity", "co-occurrence", "plain", "cfm"]
    # Plain finds one of two pairs of every query, CFM both; so does every resample.
    assert rows["plain"].metrics["overall/recall@10"] == Estimate(0.5, low=0.5, high=0.5)
    assert rows["cfm"].gains_over["plain"].gains["tail/recall@10"] == Estimate(1.0, low=1.0, high=1.0)
    assert rows["plain"].metrics["overall/map@10"].value == pytest.approx(0.5)
    assert rows["cfm"].gains_over["plain"].gain_by_seed[:2] == [1.0, 1.0]
    assert rows["cfm"].trials == 2 + 2
    assert "cfm-no-logq" in found.protocols["paper"].rows

    text = tables(results)
    assert "## shop, 50% of the training pairs, tuned" in text
    assert "40 test pairs (20 head, 20 tail; 4 of all cold; 6 of queries without a training pair)" in text
    assert "| plain | 0.500 [0.500, 0.500] | 0.500 [0.500, 0.500] |" in text
    assert "| cfm | +100.0% [+100.0%, +100.0%] |" in text
    assert re.search(r"\| cfm \| .*ssl.alpha=0.3.* \| 4 \| [23] \| - \| 0.0000 \|", text)
    widths = {line.count("|") for line in text.split("Gain over plain, ")[0].splitlines() if line.startswith("|")}
    assert widths == {10}


def test_tables_say_whose_choice_was_changed_after_test_had_been_read(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    assert "more than one choice" not in tables(read_results(str(tmp_path), spec_name="shop"))
    study = Study(str(tmp_path / "studies" / "fraction-0.5" / "tuned" / "cfm.json"))
    earlier = study.reported()[0]
    study.add(earlier.model_copy(update={"settings": earlier.settings | {"ssl.alpha": 0.9}}))
    text = tables(read_results(str(tmp_path), spec_name="shop"))
    assert text.count("Test was read for more than one choice of cfm (2); the last one is shown.") == 1


def test_a_row_is_of_what_was_chosen_alone(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    study = Study(str(tmp_path / "studies" / "fraction-0.5" / "tuned" / "plain.json"))
    reported = study.reported()[0]
    other = reported.settings | {"train.logq": 0.5}
    finds_both = reported.test.model_copy(update={"last_ranks": pack_numbers(np.tile([1, 2], 20))})
    study.add(reported.model_copy(update={"settings": other, "test": finds_both}))
    for seed, overall, tail in ((100, 0.4, 0.1), (101, 0.6, 0.3)):
        metrics = {"overall": {"recall@50": overall}, "tail": {"recall@50": tail}}
        study.add(Training(settings=other, seed=seed, validation=Ranking(metrics=metrics, top_50="")))
    study.add(Training(settings=other, seed=1, failure="the loss was infinite"))
    study.add(Training(settings=reported.settings, seed=5, failure="the loss was infinite"))
    found = read_results(str(tmp_path), spec_name="shop").fractions["0.5"].protocols["tuned"]
    row = found.rows["plain"]
    assert (row.seeds, row.failures) == ([0, 1], ["seed 5: the loss was infinite"])
    assert found.without_row is None
    assert row.metrics["overall/recall@10"].value == 0.5
    (tried,) = (trial for trial in found.trials["plain"] if trial.settings == other)
    assert (tried.seeds, tried.recall_50, tried.tail_recall_50) == (2, pytest.approx(0.5), pytest.approx(0.2))


def test_a_variant_that_failed_with_every_seed_is_named_with_its_cost(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    study = Study(str(tmp_path / "studies" / "fraction-0.5" / "tuned" / "cfm.json"))
    before = len(study.trainings)
    choice = study.chosen | {"ssl.alpha": 9.0}
    for seed in (0, 1):
        study.add(Training(settings=choice, seed=seed, failure="the loss was infinite", cpu_seconds=3000.0))
    study.choose(choice)
    results = read_results(str(tmp_path), spec_name="shop")
    found = results.fractions["0.5"].protocols["tuned"]
    assert "cfm" not in found.rows
    assert found.without_row.keys() == {"cfm"}
    failures = ["seed 0: the loss was infinite", "seed 1: the loss was infinite"]
    assert (found.without_row["cfm"].failures, found.without_row["cfm"].cpu_seconds) == (failures, 6000.0 + before)
    tuned = tables(results).split("training pairs, tuned")[1]
    # 6,000 seconds beside those of few trainings of a second each.
    assert "1.7 hours of one core." in tuned
    said = f"Without a row, since its choice came to nothing with any seed: cfm ({'; '.join(failures)})."
    assert tables(results).count(said) == 1
    # A choice that no seed was trained with yet is no failure.
    study.choose(choice | {"ssl.alpha": 8.0})
    assert read_results(str(tmp_path), spec_name="shop").fractions["0.5"].protocols["tuned"].without_row is None


def test_without_logq_cfm_s_gain_over_plain_without_it_is_shown(tiny_dataset, tmp_path):
    variants = "plain,cfm,plain-no-logq,cfm-no-logq"
    run_comparison(tiny_dataset, tmp_path, Pool(), variants=variants, protocols=("paper",))
    results = read_results(str(tmp_path), spec_name="shop")
    rows = results.fractions["0.5"].protocols["paper"].rows
    over = {name: list(row.gains_over) for name, row in rows.items() if row.gains_over}
    assert over.pop("cfm-no-logq") == ["plain", "plain-no-logq"]
    assert over == {name: ["plain"] for name in rows if name not in ("plain", "cfm-no-logq")}
    text = tables(results)
    gains = text.split("Gain over plain-no-logq, intervals over queries and seeds:")[1].split("|  | chosen")[0]
    assert "| cfm-no-logq | +100.0% [+100.0%, +100.0%] |" in gains
    assert "| cfm |" not in gains


def test_gains_over_other_variants_are_shown_on_demand(finished):
    results = read_results(str(finished[0]), spec_name="shop", against=("cfm", "plain", "fd"))
    over = {name: list(row.gains_over) for name, row in results.fractions["0.5"].protocols["tuned"].rows.items()}
    assert over == {
        "popularity": ["plain", "cfm"],
        "co-occurrence": ["plain", "cfm"],
        "plain": ["cfm"],
        "cfm": ["plain"],
    }
    # CFM finds both pairs of every query, the others one of them.
    assert (
        "| plain | -50.0% [-50.0%, -50.0%] |" in tables(results).split("Gain over cfm, intervals over queries and")[2]
    )


class SeedPool(Pool):
    """Plain with seed 2 finds the second item too."""

    def answer(self, request):
        answer = super().answer(request)
        if request.get("test") and "train.seed=2" in request["train"]:
            metrics = {name: {"recall@10": 1.0, "recall@50": 1.0} for name in SLICES}
            answer["test"] |= {"last_ranks": pack_numbers(np.tile([1, 2], 20)), "metrics": metrics}
        return answer


def test_gains_are_of_the_seeds_that_both_have(tiny_dataset, tmp_path):
    run_comparison(tiny_dataset, tmp_path, SeedPool(), variants="plain,cfm", protocols=("tuned",))
    run_comparison(tiny_dataset, tmp_path, SeedPool(), variants="plain", protocols=("tuned",), seeds=3)
    rows = read_results(str(tmp_path), spec_name="shop").fractions["0.5"].protocols["tuned"].rows
    assert (rows["plain"].seeds, rows["cfm"].seeds) == ([0, 1, 2], [0, 1])
    assert rows["plain"].metrics["overall/recall@10"].value == pytest.approx(2 / 3)
    assert rows["cfm"].metrics["overall/recall@10"].value == 1.0
    over_plain = {name: row.gains_over["plain"] for name, row in rows.items() if name != "plain"}
    for gains in (over_plain["cfm"].gains, over_plain["cfm"].gains_seeds_too):
        assert gains["overall/recall@10"] == Estimate(1.0, low=1.0, high=1.0)
    # Of 0.5, 0.5 and 1.
    assert rows["plain"].seed_deviation == pytest.approx((1 / 12) ** 0.5)
    over_queries, wide = (
        gains["overall/recall@10"]
        for gains in (over_plain["popularity"].gains, over_plain["popularity"].gains_seeds_too)
    )
    assert (over_queries.value, over_queries.low, over_queries.high) == pytest.approx((-0.25,) * 3)
    # Student's t of two degrees of freedom is above 4.303 in 2.5%: then plain has 2/3 + 4.303 / 6 = 1.384.
    assert (wide.value, wide.low) == (pytest.approx(-0.25), pytest.approx(0.5 / 1.384 - 1, abs=0.02))


def test_of_a_single_seed_there_is_no_interval_over_seeds(tiny_dataset, tmp_path):
    asked = {"variants": "plain,cfm", "protocols": ("tuned",)}
    run_comparison(tiny_dataset, tmp_path, SeedPool(), seeds=1, **asked)
    one_seed = read_results(str(tmp_path), spec_name="debian", against=("cfm",))
    rows = one_seed.fractions["0.5"].protocols["tuned"].rows
    for name in ("popularity", "cfm"):
        assert rows[name].gains_over["plain"].gains["overall/recall@10"].low is not None
        assert rows[name].gains_over["plain"].gains_seeds_too == {}
    text = tables(one_seed)
    for title in ("Gain over plain, intervals over queries and seeds:", "Gain over cfm, intervals over queries and"):
        assert "| popularity |" + " - |" * 7 in text.split(title)[1].split("\n\n")[1]
    assert "what CFM gains" not in text
    write_plots(one_seed, str(tmp_path / "plots"))
    assert os.listdir(tmp_path / "plots") == ["overall_and_tail.png"]

    # Nor where two rows have one seed in common.
    run_comparison(tiny_dataset, tmp_path, SeedPool(), seeds=2, **asked | {"variants": "plain"})
    rows = read_results(str(tmp_path), spec_name="debian").fractions["0.5"].protocols["tuned"].rows
    assert rows["cfm"].gains_over["plain"].gains_seeds_too == {}
    assert rows["popularity"].gains_over["plain"].gains_seeds_too["overall/recall@10"].low is not None


def test_a_seed_of_which_plain_finds_nothing_has_no_gain_over_it():
    ours, plain = (_SampledRow(None, {}, by_seed, {}) for by_seed in ({0: 0.2, 1: 0.3}, {0: 0.0, 1: 0.2}))
    assert _gains(ours, plain, bootstrap=None).gain_by_seed == [pytest.approx(0.5)]


def test_fractions_stand_with_the_largest_first(finished, tmp_path):
    for fraction in ("0.5", "1e-05", "1"):
        shutil.copytree(finished[0] / "studies/fraction-0.5", tmp_path / f"studies/fraction-{fraction}")
    assert list(read_results(str(tmp_path), spec_name="shop").fractions) == ["1", "0.5", "1e-05"]


def test_plots_are_drawn(finished, tmp_path):
    write_plots(read_results(str(finished[0]), spec_name="shop"), str(tmp_path))
    paths = sorted(tmp_path.iterdir())
    names = [path.name for path in paths]
    assert names == ["alpha.png", "dropout_rate.png", "head_and_tail.png", "overall_and_tail.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_a_truncated_study_stops_the_tables_by_name(finished, tmp_path):
    shutil.copytree(finished[0] / "studies", tmp_path / "studies")
    broken = tmp_path / "studies/fraction-0.5/tuned/cfm.json"
    broken.write_bytes(broken.read_bytes()[:-40])
    with pytest.raises(StageError, match=re.escape(f"{broken}: not a whole study")):
        read_results(str(tmp_path), spec_name="shop")


def test_half_written_files_of_a_killed_process_are_passed_over(finished, tmp_path):
    shutil.copytree(finished[0] / "studies", tmp_path / "studies")
    (tmp_path / "studies/fraction-0.5/tuned/cfm.json.1234.tmp").write_text('{"half')
    assert read_results(str(tmp_path), spec_name="shop") == read_results(str(finished[0]), spec_name="shop")


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
    gains = ["gains", "gains_seeds_too", "gain_by_seed"]
    assert [*rows["cfm"]][-4:] == [*gains, "gains_over"]
    assert (rows["cfm"].keys() - rows["plain"].keys(), rows["cfm"]["gains_over"]) == ({*gains}, {})
    assert rows["cfm"]["gains"]["tail/recall@10"] == {"value": 1.0, "low": 1.0, "high": 1.0}
