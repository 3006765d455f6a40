"""Searches over a landscape that is known, without a training."""

import json

import numpy as np
import pytest

from features.spec.file import load_spec
from model.comparison import paper_protocol, tuned_protocol
from model.comparison.packed import pack_flags
from model.comparison.split_shape import SplitShape
from model.comparison.studies import Ranking, Training
from model.comparison.tuned_protocol import (
    SPACE,
    Grid,
    Trial,
    own_settings,
    paired_standard_error,
    scouted_settings,
    search,
    shared_settings,
    simplest,
    stored_trials,
)
from model.comparison.variants import VARIANTS, default_names, parse_variants
from stage.errors import UsageError

FIRST = {
    "train.temperature": 0.1, "train.learning_rate": 0.001, "train.weight_decay": 0.0, "train.logq": 1.0,
    "ssl.alpha": 0.3, "ssl.temperature": 0.1, "ssl.dropout_rate": 0.3,
}  # fmt: skip
SHAPE = SplitShape(np.array([0, 0, 1, 2]), {})


def _training(settings, seed, recall, hits=(False, False, False, False)):
    ranking = Ranking(metrics={"overall": {"recall@50": recall}}, top_50=pack_flags(np.array(hits)))
    return Training(settings=settings, seed=seed, validation=ranking)


def _recorder(score):
    """Trains nothing, but keeps what it was asked for."""
    asked = []

    def train(settings, seeds):
        asked.append((settings, list(seeds)))
        return [_training(settings, seed, score(settings)) for seed in seeds]

    return train, asked


def test_the_paper_s_protocol_takes_twelve_runs() -> None:
    train, asked = _recorder(lambda s: -abs(s["ssl.alpha"] - 1) - abs(s["ssl.dropout_rate"] - 0.6))
    found = paper_protocol.choose(VARIANTS["rfm"], train, spec_name="wikispeedia-links")
    assert found == {
        "train.temperature": 0.07, "train.learning_rate": 0.001, "train.weight_decay": 0, "train.logq": 1,
        "ssl.temperature": None, "ssl.augmentation": "rfm", "ssl.alpha": 1.0, "ssl.dropout_rate": 0.6,
    }  # fmt: skip
    distinct = {(s["ssl.alpha"], s["ssl.dropout_rate"]) for s, _ in asked}
    alphas = {(alpha, 0.3) for alpha in (0.1, 0.3, 1.0, 3.0)}
    assert distinct == alphas | {(1.0, rate / 10) for rate in range(1, 10)}
    assert len(distinct) == 12
    assert all(seeds == [100] for _, seeds in asked)


@pytest.mark.parametrize(
    ("name", "runs", "dropout_rate"),
    [("plain", 0, None), ("fd", 9, 0.1), ("so", 4, None), ("cfm-no-dropout", 4, 0), ("no-masking", 12, 0.1)],
)
def test_a_variant_is_searched_in_what_makes_a_difference_to_it(name, runs, dropout_rate) -> None:
    train, asked = _recorder(lambda _: 0.5)
    found = paper_protocol.choose(VARIANTS[name], train, spec_name="debian")
    assert len({tuple(sorted(s.items())) for s, _ in asked}) == runs
    assert (found["train.temperature"], found.get("ssl.dropout_rate")) == (0.06, dropout_rate)


def test_of_equals_the_paper_s_protocol_takes_the_first() -> None:
    found = paper_protocol.choose(VARIANTS["rfm"], _recorder(lambda _: 0.5)[0], spec_name="debian")
    assert (found["ssl.alpha"], found["ssl.dropout_rate"]) == (0.1, 0.1)


def test_tuning_starts_from_known_settings_and_never_tries_one_twice() -> None:
    train, asked = _recorder(lambda s: s["train.temperature"])
    search(VARIANTS["cfm"], train, trials=12)
    assert len(asked) == 12
    assert asked[0][0] == {**FIRST, "ssl.augmentation": "cfm"}
    assert len({tuple(sorted(s.items())) for s, _ in asked}) == 12
    assert all(seeds == [100, 101] for _, seeds in asked)


def test_tuning_comes_nearer_to_what_finds_most() -> None:
    train, asked = _recorder(lambda s: 0.035 / s["train.temperature"])
    search(VARIANTS["plain"], train, trials=16)
    # Of the grid's seven temperatures, 0.1 is the median.
    assert np.median([s["train.temperature"] for s, _ in asked[8:]]) <= 0.05


def test_a_search_ends_once_all_of_the_grid_is_tried(monkeypatch) -> None:
    few = {"train.temperature": Grid((0.05, 0.1, 0.2), first=0.1), "train.logq": Grid((0.9, 1.0), first=1.0)}
    one = {key: Grid((FIRST[key],), FIRST[key]) for key in ("train.learning_rate", "train.weight_decay")}
    monkeypatch.setattr(tuned_protocol, "SPACE", few | one)
    train, asked = _recorder(lambda s: s["train.temperature"])
    assert len(search(VARIANTS["plain"], train, trials=9)) == 6
    tried = {(s["train.temperature"], s["train.logq"]) for s, _ in asked}
    assert tried == {(0.05, 0.9), (0.05, 1.0), (0.1, 0.9), (0.1, 1.0), (0.2, 0.9), (0.2, 1.0)}


def test_tuning_goes_on_as_if_it_had_not_stopped() -> None:
    train, asked = _recorder(lambda s: -abs(np.log(s["train.temperature"] / 0.14)) - s["train.weight_decay"])
    search(VARIANTS["so"], train, trials=7)
    first = list(asked)
    asked.clear()
    search(VARIANTS["so"], train, trials=9)
    assert asked[:7] == first


def test_random_trials_differ_by_variant_so_that_all_together_try_many() -> None:
    drawn = []
    for name in ("plain", "so", "rfm", "cfm"):
        train, asked = _recorder(lambda _: 0.1)
        search(VARIANTS[name], train, trials=4)
        drawn += [tuple(s[key] for key in sorted(s) if key.startswith("train.")) for s, _ in asked[1:]]
    assert len(set(drawn)) >= 11


def _trial(alpha, recall, hits, **changed):
    settings = {**FIRST, "ssl.alpha": alpha, **changed}
    return Trial(settings, [_training(settings, seed, recall, h) for seed, h in zip((100, 101), hits, strict=True)])


def test_paired_standard_error_by_hand() -> None:
    # Pairs of queries: 2, 1, 1. Hits, seeds averaged: (2 + 1) / 2, 1, 0 against 1, 0, 0: differences 0.5, 1, 0.
    first = _trial(0.3, 0.0, [(True, True, True, False), (True, False, True, False)])
    second = _trial(0.3, 0.0, [(True, False, False, False), (True, False, False, False)])
    # Mean 1.5 / 4 = 0.375; residuals 0.5 - 0.75, 1 - 0.375, 0 - 0.375; squares 0.0625 + 0.390625 + 0.140625 = 0.59375.
    assert paired_standard_error(first, second, shape=SHAPE) == pytest.approx((0.59375 * 3 / 2) ** 0.5 / 4)
    assert paired_standard_error(first, first, shape=SHAPE) == 0
    of_one_user = SplitShape(np.arange(4), {}, users=np.array([0, 0, 1, 2]))  # as if each had one query
    assert paired_standard_error(first, second, shape=of_one_user) == pytest.approx((0.59375 * 3 / 2) ** 0.5 / 4)
    # Trainings that came to nothing have no hits: differences 1.5, 1, 0; residuals 0.25, 0.375, -0.625.
    nothing = Trial(FIRST, [Training(settings=FIRST, seed=seed, failure="it diverged") for seed in (100, 101)])
    assert nothing.score == 0
    assert paired_standard_error(first, nothing, shape=SHAPE) == pytest.approx((0.59375 * 3 / 2) ** 0.5 / 4)


def test_within_one_standard_error_the_simplest_wins() -> None:
    none, some = (False,) * 4, (True, True, False, False)
    own = _trial(0.3, 0.50, [none, none])
    best = _trial(1.0, 0.60, [some, some], **{"train.logq": 0.8})
    assert paired_standard_error(best, own, shape=SHAPE) > 0.1
    assert simplest([own, best], shape=SHAPE) is own
    # Far behind it doesn't.
    far = _trial(0.3, 0.05, [none, none])
    assert simplest([far, best], shape=SHAPE) is best
    # Of two that change as much, the one with less of the second task.
    milder = _trial(0.1, 0.55, [none, some], **{"train.logq": 0.8})
    assert simplest([far, best, milder], shape=SHAPE) is milder
    # Of two that are alike in both, the better one.
    worse = _trial(0.1, 0.54, [none, some], **{"train.logq": 0.9})
    assert simplest([far, worse, milder, best], shape=SHAPE) is milder


def _scored(recall, *, temperature, logq, **own):
    shared = {"train.temperature": temperature, "train.logq": logq}
    shared |= {"train.learning_rate": 0.001, "train.weight_decay": 0.0}
    return Trial({**shared, **own}, [_training({}, seed, recall) for seed in (100, 101)])


def _tried(variant, exchange, everyone):
    return [
        (s["train.temperature"], s["train.logq"], s["ssl.alpha"], s.get("ssl.temperature"))
        for s in exchange(VARIANTS[variant], everyone)
    ]


def test_every_variant_tries_the_best_that_any_has_found_of_what_all_have() -> None:
    everyone = {
        "plain": [
            _scored(0.50, temperature=0.1, logq=1.0, **{"ssl.alpha": 0}),
            _scored(0.30, temperature=0.2, logq=1.0, **{"ssl.alpha": 0}),
        ],
        "cfm": [
            _scored(0.20, temperature=0.1, logq=1.0, **{"ssl.alpha": 0.3}),
            _scored(0.40, temperature=0.05, logq=0.7, **{"ssl.alpha": 1.0}),
            _scored(0.45, temperature=0.05, logq=0.7, **{"ssl.alpha": 3.0}),
            _scored(0.10, temperature=0.28, logq=0.7, **{"ssl.alpha": 0.1}),
        ],
    }
    # The three best that differ: (0.1, 1.0) at 0.50, (0.05, 0.7) at 0.45, (0.2, 1.0) at 0.30; not (0.28, 0.7).
    assert _tried("plain", shared_settings, everyone) == [(0.05, 0.7, 0, None)]
    # With the alpha of CFM's best trial, which one of them has not had.
    assert _tried("cfm", shared_settings, everyone) == [(0.1, 1.0, 3.0, None), (0.2, 1.0, 3.0, None)]


def test_plain_tries_first_what_each_search_found_best_of_what_all_have() -> None:
    everyone = {
        "plain": [_scored(0.5, temperature=0.1, logq=1.0, **{"ssl.alpha": 0})],
        "so": [
            _scored(0.1, temperature=0.28, logq=0.9, **{"ssl.alpha": 3.0}),
            _scored(0.05, temperature=0.14, logq=0.9, **{"ssl.alpha": 3.0}),
        ],
        "cfm": [_scored(0.9, temperature=0.1, logq=1.0, **{"ssl.alpha": 0.3})],
    }
    # Spread-out's, though many did better; CFM's it has had.
    assert _tried("plain", scouted_settings, everyone) == [(0.28, 0.9, 0, None)]
    assert _tried("cfm", scouted_settings, everyone) == _tried("so", scouted_settings, everyone) == []


def test_where_the_best_lies_at_an_end_of_the_grid_its_neighbour_beyond_is_tried() -> None:
    everyone = {
        "plain": [
            _scored(0.50, temperature=0.28, logq=0.5, **{"ssl.alpha": 0}),
            _scored(0.30, temperature=0.035, logq=1.0, **{"ssl.alpha": 0}),
        ]
    }
    # Not of the second best; there is no logQ above 1.
    assert _tried("plain", shared_settings, everyone) == [(0.4, 0.5, 0, None), (0.28, 0.4, 0, None)]


def test_every_self_supervised_variant_tries_what_the_others_found_of_that_beside_the_best_it_has() -> None:
    def scored(recall, temperature, alpha, own, **more):
        return _scored(
            recall, temperature=temperature, logq=1.0, **{"ssl.alpha": alpha, "ssl.temperature": own, **more}
        )

    everyone = {
        "plain": [_scored(0.9, temperature=0.1, logq=1.0, **{"ssl.alpha": 0})],
        "fd": [_scored(0.9, temperature=0.1, logq=1.0, **{"ssl.alpha": 1, "ssl.dropout_rate": 0.6})],
        "so": [scored(0.5, 0.2, 3.0, 0.14), scored(0.4, 0.1, 0.1, 0.07)],
        "cfm": [
            scored(0.3, 0.1, 1.0, 0.1, **{"ssl.dropout_rate": 0.3}),
            scored(0.6, 0.28, 0.3, 0.4, **{"ssl.dropout_rate": 0.2}),
        ],
        "cfm-no-dropout": [scored(0.5, 0.05, 0.03, 0.07, **{"ssl.dropout_rate": 0})],
        "cfm-head": [scored(0.8, 0.05, 0.1, 0.8, **{"ssl.dropout_rate": 0.5})],
    }
    found = own_settings(VARIANTS["cfm"], everyone)
    # Beside temperature 0.28: alpha and own temperature of so's best with its own dropout, all three of CFM without
    # dropout's. Not its own, nor of variants beyond the paper.
    assert [(s["train.temperature"], s["ssl.alpha"], s["ssl.temperature"], s["ssl.dropout_rate"]) for s in found] == [
        (0.28, 3.0, 0.14, 0.2),
        (0.28, 0.03, 0.07, 0),
    ]
    assert _tried("so", own_settings, everyone) == [(0.2, 1.0, 0.3, 0.4), (0.2, 1.0, 0.03, 0.07)]
    assert _tried("cfm-head", own_settings, everyone) == [
        (0.05, 1.0, 3.0, 0.14),
        (0.05, 1.0, 0.3, 0.4),
        (0.05, 1.0, 0.03, 0.07),
    ]
    assert own_settings(VARIANTS["plain"], everyone) == own_settings(VARIANTS["fd"], everyone) == []


def test_another_s_model_is_searched_twice_as_long_since_it_has_no_exchange() -> None:
    train, asked = _recorder(lambda s: s["two_tower.lr"])
    search(VARIANTS["librecommender-plain"], train, trials=5)
    assert len(asked) == 10


def test_a_trial_is_stored_once_all_its_seeds_are_trained() -> None:
    one, other = {"ssl.alpha": 0.3}, {"ssl.alpha": 1.0}
    trainings = [
        _training(settings, seed, recall)
        for settings, seed, recall in ((one, 100, 0.2), (other, 100, 0.9), (one, 0, 0.7), (one, 101, 0.4))
    ]
    (found,) = stored_trials(trainings)
    assert (found.settings, found.score) == (one, pytest.approx(0.3))


def test_what_goes_beyond_the_paper_is_compared_on_request_alone() -> None:
    assert "cfm-head" not in default_names()
    assert {"plain", "cfm", "cfm-no-logq"} < set(default_names())
    train, _ = _recorder(lambda _: 0.5)
    (found,) = search(parse_variants("plain-id-dropout")[1], train, trials=1)
    assert found.settings["train.item_id_dropout"] == 0.2
    assert found.settings["ssl.alpha"] == 0
    (found,) = search(VARIANTS["cfm-head"], train, trials=1)
    assert "train.item_id_dropout" not in found.settings


@pytest.mark.parametrize("name", [name for name, variant in VARIANTS.items() if variant.peer is None])
def test_what_makes_a_variant_and_what_it_chooses_are_keys_of_the_spec(name: str) -> None:
    variant = VARIANTS[name]
    tried = {key: SPACE[key].first for key in variant.chosen} | variant.fixed
    spec = load_spec("synthetic", [f"{key}={json.dumps(value)}" for key, value in tried.items()], verb="train")
    tree = spec.model_dump()
    for key, value in tried.items():
        section, name = key.split(".")
        assert tree[section][name] == value


def test_plain_is_always_among_the_variants_and_what_another_takes_over_must_be() -> None:
    assert [v.name for v in parse_variants("cfm, so")] == ["plain", "so", "cfm"]
    with pytest.raises(UsageError, match="cfm-no-logq takes over what is chosen for cfm; add it"):
        parse_variants("plain,cfm-no-logq")
