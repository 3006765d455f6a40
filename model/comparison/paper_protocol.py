"""The paper's way to choose: its temperatures and its grids, one key after the other."""

from model.comparison.studies import Trainer
from model.comparison.variants import ALPHA, DROPOUT_RATE, SSL_TEMPERATURE, Settings, Variant

TEMPERATURES = {"debian": 0.06}
"""Spec -> the paper's temperature for its kind of data: 0.06 for the app store, to which packages come nearest."""
OTHER_TEMPERATURE = 0.07
LEARNING_RATE = 1e-3
"""Ours, as is the optimizer: the paper's Adagrad at 0.01 underfits logs of this size."""
ALPHAS = (0.1, 0.3, 1.0, 3.0)
FIRST_DROPOUT_RATE = 0.3
DROPOUT_RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SEARCH_SEED = 100
"""Of all trainings that are chosen from; reported ones have seeds from 0 on."""


_GRIDS: tuple[tuple[str, tuple[float, ...]], ...] = ((ALPHA, ALPHAS), (DROPOUT_RATE, DROPOUT_RATES))


def searched(variant: Variant) -> int:
    """How many trainings a variant is chosen from; that the first rate stands on both grids spares one."""
    found = sum(len(grid) for key, grid in _GRIDS if key in variant.chosen)
    return found - (ALPHA in variant.chosen and DROPOUT_RATE in variant.chosen)


def choose(variant: Variant, train: Trainer, *, spec_name: str) -> Settings:
    """Alpha on its grid at dropout rate 0.3, then the dropout rate on its grid at the best alpha.

    These are 12 trainings of a variant that has both keys, 4 and 9 where it has one of them, and none with neither.

    Args:
        variant: What is chosen for.
        train: Trains.
        spec_name: Of the dataset.

    Returns:
        The settings with the best Recall@50 on validation; of equals, the first.
    """
    settings: Settings = {
        "train.temperature": TEMPERATURES.get(spec_name, OTHER_TEMPERATURE),
        "train.learning_rate": LEARNING_RATE,
        "train.weight_decay": 0.0,
        "train.logq": 1.0,
        SSL_TEMPERATURE: None,
        **variant.fixed,
    }
    if DROPOUT_RATE in variant.chosen:
        settings[DROPOUT_RATE] = FIRST_DROPOUT_RATE
    for key, grid in _GRIDS:
        if key in variant.chosen:
            candidates = [settings | {key: value} for value in grid]
            trainings = [train(candidate, [SEARCH_SEED])[0] for candidate in candidates]
            settings = max(zip(candidates, trainings, strict=True), key=lambda found: found[1].recall())[0]
    return settings
