"""What variants' searches tell each other, and what is chosen, with a pool that makes its numbers up."""

import json
import random
import time

import numpy as np
import pytest
from made_up_pool import Pool, run_comparison

from model.comparison.packed import pack_flags
from model.comparison.studies import Study
from stage.errors import Interrupted


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
    run_comparison(tiny_dataset, tmp_path, ValleyPool(), variants="plain,cfm", protocols=("tuned",), trials=7)
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
    run_comparison(tiny_dataset, tmp_path, again, variants="plain,cfm", protocols=("tuned",), trials=7)
    assert again.asked == []
    whole, stopped = ValleyPool(), tmp_path / "stopped"
    run_comparison(tiny_dataset, tmp_path / "whole", whole, variants="plain,cfm", protocols=("tuned",), trials=7)
    # 3 for shapes and baselines, 28 for the searches; then in the midst of the exchange.
    first, second = ValleyPool(most=3 + 28 + 3), ValleyPool()
    with pytest.raises(Interrupted):
        run_comparison(tiny_dataset, stopped, first, variants="plain,cfm", protocols=("tuned",), trials=7)
    run_comparison(tiny_dataset, stopped, second, variants="plain,cfm", protocols=("tuned",), trials=7)
    asked = [[request.get("train") for request in pool.asked] for pool in (first, second, whole)]
    assert asked[0] + asked[1] == asked[2]
    # A search that is made longer ends as if it had been so long from the start.
    both = {"variants": "plain,cfm", "protocols": ("tuned",)}
    for name, trials in (("at once", (6,)), ("in turns", (3, 6))):
        for number in trials:
            run_comparison(tiny_dataset, tmp_path / name, ValleyPool(), trials=number, **both)
    tried = [
        {
            json.dumps(training.settings, sort_keys=True)
            for training in Study(str(tmp_path / name / f"studies/fraction-0.5/tuned/{variant}.json")).trainings
        }
        for variant in ("plain", "cfm")
        for name in ("at once", "in turns")
    ]
    assert tried[0] <= tried[1]
    assert tried[2] <= tried[3]
    # What another variant finds later is tried by those that were there.
    run_comparison(tiny_dataset, tmp_path, again, variants="plain,cfm,so", protocols=("tuned",), trials=7)
    assert any("spread_out" in key for request in again.asked for key in request["train"])


class UnevenPool(ValleyPool):
    """Takes now longer, now shorter."""

    def answer(self, request):
        answer = super().answer(request)
        time.sleep(random.random() / 200)
        return answer


def test_no_result_depends_on_how_many_workers_there_are(tiny_dataset, tmp_path):
    found = []
    for workers in (1, 4):
        pool, output = UnevenPool(), tmp_path / str(workers)
        variants = "plain,so,cfm,cfm-no-logq,implicit-als"
        run_comparison(tiny_dataset, output, pool, variants=variants, workers=workers, trials=9, peers=".peers")
        asked = sorted(json.dumps(request, sort_keys=True).replace(str(output), "") for request in pool.asked)
        studies = output / "studies"
        stored = {str(path.relative_to(studies)): path.read_text() for path in studies.rglob("*.json")}
        found.append((asked, stored))
    assert found[0] == found[1]
    # The shapes, two baselines, and four rows of each protocol.
    assert len(found[0][1]) == 1 + 2 + 4 + 4


class LuckPool(Pool):
    """Another trial than the first finds a pair of validation more: two that it misses, for one that it hasn't."""

    def answer(self, request):
        answer = super().answer(request)
        keys = dict(key.split("=", 1) for key in request.get("train", []))
        if "train.seed" in keys:
            flags = np.tile([True, False], 20)
            if (keys["train.temperature"], keys["train.learning_rate"]) != ("0.1", "0.001"):
                flags[[1, 3, 4]] = [True, True, False]
            metrics = {"overall": {"recall@50": float(flags.mean())}}
            answer["validation"] = {"metrics": metrics, "top_50": pack_flags(flags)}
        return answer


def test_what_is_reported_is_the_simplest_of_what_is_as_good(tiny_dataset, tmp_path):
    run_comparison(tiny_dataset, tmp_path, LuckPool(), variants="plain", protocols=("tuned",), trials=4)
    study = Study(str(tmp_path / "studies/fraction-0.5/tuned/plain.json"))
    first, *others = study.trainings
    assert max(training.recall() for training in others) > first.recall()
    assert study.chosen == first.settings
