"""Tuning: as many trials for each variant, on validation alone, by optuna; then an exchange of what was found.

A trial is one choice of settings, trained with two seeds. The next trial is a function of those before it, so a stopped
search goes on as if it hadn't been. The space is a grid, so that it makes sense to say that a trial changed a setting.

What settings every variant has matter more than the variant, and a few trials find good ones by luck. So in the end
every variant, plain too, tries the best that any variant has found of these (`EXCHANGES`): a gain then isn't whose
search was lucky. Other people's models have none of these settings, so their searches are longer instead.

Shapes: Q queries of the validation split, in session mode its users.
"""

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from model.comparison.packed import unpack_flags
from model.comparison.split_shape import SplitShape
from model.comparison.studies import Trainer, Training, by_settings
from model.comparison.variants import (
    ALPHA,
    DROPOUT_RATE,
    ID_DROPOUT,
    PLAIN,
    SSL_TEMPERATURE,
    VARIANTS,
    Settings,
    Variant,
)
from model.ranking.metrics import Floats

SEARCH_SEEDS = (100, 101)
RANDOM_TRIALS = 4
"""The first one, then three at random, others for every variant, since all meet in the exchange; then TPE."""


class Grid(NamedTuple):
    """The values of a key that are searched."""

    values: tuple[float, ...]
    first: float
    """Of the first trial: where nothing is known of a dataset."""
    before: float | None = None
    """What comes before the first value: tried by all where the best trial has that one."""
    behind: float | None = None
    """What comes behind the last, likewise."""


SPACE = {
    "train.temperature": Grid((0.035, 0.05, 0.07, 0.1, 0.14, 0.2, 0.28), first=0.1, before=0.025, behind=0.4),
    "train.learning_rate": Grid((5e-4, 1e-3, 2e-3, 4e-3, 8e-3), first=1e-3, before=2.5e-4, behind=1.6e-2),
    "train.weight_decay": Grid((0.0, 0.1, 0.3, 1.0, 3.0, 10.0), first=0.0, behind=30.0),
    "train.logq": Grid((0.5, 0.6, 0.7, 0.8, 0.9, 1.0), first=1.0, before=0.4),
    ALPHA: Grid((0.03, 0.1, 0.3, 1.0, 3.0), first=0.3),
    SSL_TEMPERATURE: Grid((0.05, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4, 0.8), first=0.1),
    DROPOUT_RATE: Grid((0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6), first=0.3),
    ID_DROPOUT: Grid((0.1, 0.2, 0.3, 0.5), first=0.2),
    "als.factors": Grid((8, 16, 32, 64, 128, 256), first=64),
    "als.regularization": Grid((0.01, 0.1, 1.0, 3.0, 10.0, 30.0, 100.0), first=0.1),
    "als.alpha": Grid((1.0, 3.0, 10.0, 30.0), first=1.0),
    "als.iterations": Grid((5, 10, 15, 30, 60), first=15),
    "bpr.factors": Grid((16, 32, 64, 128, 256), first=64),
    "bpr.learning_rate": Grid((0.01, 0.03, 0.1, 0.3), first=0.03),
    "bpr.regularization": Grid((0.001, 0.003, 0.01, 0.03, 0.1, 0.3), first=0.01),
    "bpr.iterations": Grid((50, 100, 200, 400, 800), first=100),
    "two_tower.lr": Grid((5e-4, 1e-3, 2e-3, 4e-3), first=1e-3),
    "two_tower.temperature": Grid((0.05, 0.07, 0.1, 0.14, 0.2, 0.28), first=0.1),
    "two_tower.dropout_rate": Grid((0.0, 0.1, 0.2, 0.3, 0.4, 0.5), first=0.0),
    "two_tower.alpha": Grid((0.03, 0.1, 0.3, 1.0, 3.0), first=0.3),
}
OF_EVERY_VARIANT = ("train.temperature", "train.learning_rate", "train.weight_decay", "train.logq")
EXCHANGED = 3
"""Settings of `OF_EVERY_VARIANT` that are tried by all: those of the best trials of all variants."""
LONGER = 2
"""Times as many trials a peer's search has, about as many as ours have with their exchanges."""


@dataclass(frozen=True)
class Trial:
    """Settings, and what came of them with each of `SEARCH_SEEDS`."""

    settings: Settings
    trainings: list[Training]

    @property
    def score(self) -> float:
        """The mean Recall@50 on validation."""
        return float(np.mean([training.recall() for training in self.trainings]))


def searched(variant: Variant, *, trials: int) -> int:
    """How many settings the search of a variant tries: as many as wanted, or all that there are."""
    wanted = trials * (LONGER if variant.peer else 1)
    return min(wanted, math.prod(len(SPACE[key].values) for key in _searched_keys(variant)))


def search(variant: Variant, train: Trainer, *, trials: int) -> list[Trial]:
    """Searches for one variant.

    Args:
        variant: What is searched for.
        train: Trains.
        trials: How many, `LONGER` times as many for a peer; fewer where the grid has fewer points.

    Returns:
        The trials, in order.
    """
    done: list[Trial] = []
    tried: list[dict[str, int]] = []
    keys = _searched_keys(variant)
    for _ in range(searched(variant, trials=trials)):
        places = _next_places(keys, tried, scores=[t.score for t in done], name=variant.name)
        tried.append(places)
        settings = {key: SPACE[key].values[place] for key, place in places.items()} | variant.fixed
        done.append(Trial(settings, train(settings, SEARCH_SEEDS)))
    return done


def _searched_keys(variant: Variant) -> list[str]:
    return [*variant.chosen] if variant.peer else [*OF_EVERY_VARIANT, *variant.chosen]


def scouted_settings(variant: Variant, everyone: Mapping[str, Sequence[Trial]]) -> list[Settings]:
    """What did best in each variant's search of the settings that every variant has, for plain alone, which goes first.

    One of these can be good for all though its own variant is not among the best.

    Args:
        variant: One of `everyone`.
        everyone: Variant of ours -> its trials so far.

    Returns:
        One for each variant; none that plain has had.
    """
    if variant.name != PLAIN:
        return []
    return _new(everyone[PLAIN], [_shared(_best(trials)) for trials in everyone.values()])


def shared_settings(variant: Variant, everyone: Mapping[str, Sequence[Trial]]) -> list[Settings]:
    """What did best, with any variant, of the settings that every variant has.

    Args:
        variant: One of `everyone`. The other settings are those of its best.
        everyone: Variant of ours -> its trials so far.

    Returns:
        At most `EXCHANGED` settings, and the best one's neighbours beyond the ends of the grid, if it lies there; none
        that the variant has had.
    """
    found: list[Settings] = []
    for trial in sorted((trial for trials in everyone.values() for trial in trials), key=lambda trial: -trial.score):
        shared = _shared(trial)
        if shared not in found:
            found.append(shared)
    return _new(everyone[variant.name], [*found[:EXCHANGED], *_beyond(found[0])])


def own_settings(variant: Variant, everyone: Mapping[str, Sequence[Trial]]) -> list[Settings]:
    """What did best with each of the paper's variants of the settings that self-supervision has.

    They were searched beside other settings than those that are best for all, so each such variant tries, beside the
    best it has, what others found.

    Args:
        variant: One of `everyone`.
        everyone: Variant of ours -> its trials so far.

    Returns:
        One for each such variant, with what the two have in common; none that the variant has had.
    """
    if ALPHA not in variant.chosen:
        return []
    givers = [name for name in everyone if VARIANTS[name].by_default and ALPHA in VARIANTS[name].chosen]
    best = [_best(everyone[name]).settings for name in givers]
    found = [{key: given[key] for key in variant.chosen if given.get(key) is not None} for given in best]
    return _new(everyone[variant.name], found)


def _shared(trial: Trial) -> Settings:
    return {key: trial.settings[key] for key in OF_EVERY_VARIANT}


def _best(trials: Sequence[Trial]) -> Trial:
    return max(trials, key=lambda trial: trial.score)


def _new(own: Sequence[Trial], changes: Iterable[Settings]) -> list[Settings]:
    """A variant's best settings with each of some changes, but for those that it has had."""
    had = [trial.settings for trial in own]
    wanted: list[Settings] = []
    for changed in changes:
        settings = _best(own).settings | changed
        if settings not in [*had, *wanted]:
            wanted.append(settings)
    return wanted


def _beyond(shared: Settings) -> Iterator[Settings]:
    for key in OF_EVERY_VARIANT:
        grid = SPACE[key]
        for end, neighbour in ((grid.values[0], grid.before), (grid.values[-1], grid.behind)):
            if shared[key] == end and neighbour is not None:
                yield shared | {key: neighbour}


Exchange: TypeAlias = Callable[[Variant, Mapping[str, Sequence[Trial]]], list[Settings]]
EXCHANGES: tuple[Exchange, ...] = (scouted_settings, shared_settings, own_settings)
"""What variants try after their searches, one exchange after another."""


def stored_trials(trainings: Sequence[Training]) -> list[Trial]:
    """The trials among a study's trainings: settings that have been trained with every one of `SEARCH_SEEDS`."""
    grouped = by_settings(training for training in trainings if training.seed in SEARCH_SEEDS)
    return [Trial(settings, found) for settings, found in grouped if len(found) == len(SEARCH_SEEDS)]


def simplest(trials: Sequence[Trial], *, shape: SplitShape) -> Trial:
    """Of the trials within one paired standard error of the best, the one that changes the fewest settings.

    Changes are counted from the first trial; of equally many the smaller alpha wins, then the better score.
    """
    best = _best(trials)
    within = [t for t in trials if best.score - t.score <= paired_standard_error(best, t, shape=shape)]
    first = trials[0].settings

    def complexity(trial: Trial) -> tuple[int, float, float]:
        changed = sum(first[key] != value for key, value in trial.settings.items())
        return changed, float(trial.settings.get(ALPHA) or 0.0), -trial.score

    return min(within, key=complexity)


def paired_standard_error(first: Trial, second: Trial, *, shape: SplitShape) -> float:
    """Standard error, over queries or users, of the difference of two trials' Recall@50, seeds averaged.

    Recall is a ratio of sums over queries: of hits h_q to pairs n_q. With the difference D of the two ratios, its
    variance is Q / (Q - 1) * sum_q (h_q - h'_q - D n_q)^2 / (sum_q n_q)^2 (the ratio estimator's linearisation).
    """
    pairs = np.bincount(shape.user_index()).astype(np.float64)
    difference = _hits(first, shape) - _hits(second, shape)
    mean = difference.sum() / pairs.sum()
    queries = len(pairs)
    squares = float(np.sum(np.square(difference - mean * pairs)))
    return float(np.sqrt(squares * queries / max(queries - 1, 1)) / pairs.sum())


def _hits(trial: Trial, shape: SplitShape) -> Floats:
    """[Q] Pairs of each in the top 50, seeds averaged; none for a training that came to nothing."""
    pairs = len(shape.query_index)
    flags = [
        unpack_flags(training.validation.top_50, count=pairs) if training.validation else np.zeros(pairs, dtype=bool)
        for training in trial.trainings
    ]
    weights: Floats = np.mean(flags, axis=0)
    return np.bincount(shape.user_index(), weights=weights).astype(np.float64)


def _next_places(keys: list[str], before: list[dict[str, int]], *, scores: list[float], name: str) -> dict[str, int]:
    """What to try next: key -> place in `SPACE`, one that hasn't been tried, of which there must be some."""
    if not before:
        return {key: SPACE[key].values.index(SPACE[key].first) for key in keys}
    import optuna  # noqa: PLC0415  (a table alone doesn't need it)

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        key: optuna.distributions.IntDistribution(0, len(SPACE[key].values) - 1) for key in keys
    }
    number = len(before)
    while True:
        seed = zlib.crc32(f"trial {number} of {name}".encode())
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM_TRIALS, multivariate=True)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for places, score in zip(before, scores, strict=True):
            study.add_trial(optuna.trial.create_trial(params=dict(places), distributions=distributions, value=score))
        found = {key: int(place) for key, place in study.ask(distributions).params.items()}
        if found not in before:  # a grid invites it to try the best again
            return found
        number += 1
