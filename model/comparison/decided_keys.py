"""What a comparison takes of the spec's keys: nothing of those that it decides itself, all others for every variant."""

import json
from collections.abc import Iterable

import yaml

from features.spec.spec import Spec
from model.comparison.tuned_protocol import OF_EVERY_VARIANT
from model.comparison.variants import VARIANTS, default_names
from stage.errors import UsageError

DECIDED = {
    *(key for name in default_names() for key in VARIANTS[name].chosen),
    *OF_EVERY_VARIANT,
    "train.seed",
    "train.epochs",
    "train.validate_every",
    "train.patience",
}
"""Those of the sections that are trained with."""
_INSTEAD = {
    "split.train_fraction": "--train-fraction says it",
    "ssl.augmentation": "--variants says it",
    "train.seed": "--seeds says how many there are",
    "train.epochs": "--most-steps bounds them",
    "train.validate_every": "it is four times an epoch, or every step if it has fewer",
    "train.patience": "it is two epochs, or 40 steps where that is longer",
}


_TELL_APART = {
    key for v in VARIANTS.values() if v.peer is None for key in (*v.fixed, *v.chosen) if key != "ssl.augmentation"
} - DECIDED
"""Keys by which some variant differs from others, and which every other variant has from the spec."""


def held_for_all(spec: Spec) -> str | None:
    """The keys that tell variants apart and that the spec itself sets, so that they hold for all, in words.

    Returns:
        `KEY=VALUE` of each that isn't at its default, with commas between; None if all are.
    """
    found = {
        f"{section}.{key}": value
        for section in ("ssl", "train")
        for key, value in getattr(spec, section).model_dump(mode="json", exclude_defaults=True).items()
    }
    return ", ".join(f"{key}={json.dumps(value)}" for key, value in found.items() if key in _TELL_APART) or None


def describe_held(keys: str) -> str:
    """What a reader of tables must know of such keys."""
    return (
        f"The spec sets {keys} for every variant that doesn't set it itself, so rows may not be what their names say."
    )


def refuse_decided(overrides: Iterable[str]) -> None:
    """Refuses to set a key that would be ignored.

    Args:
        overrides: `key=value` each, the value in YAML.

    Raises:
        UsageError: Naming the key, and what says it instead.
    """
    for override in overrides:
        key, _, value = override.partition("=")
        tree = yaml.safe_load(value) if "." not in key else None
        for name in [f"{key}.{below}" for below in tree] if isinstance(tree, dict) else [key]:
            if name in DECIDED or name in _INSTEAD:
                raise UsageError(f"--set {name}: compare decides this key; {_INSTEAD.get(name, 'it is searched for')}")
