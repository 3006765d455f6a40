"""Digests of a spec: of the sections and keys that a stage's result depends on."""

from typing import Any

from features.spec.sections_read import SECTIONS_READ
from features.spec.spec import Spec
from stage.manifest import digest

_DIGESTED: dict[str, tuple[str, ...]] = {
    "build-dataset": SECTIONS_READ["build-dataset"],
    "train": SECTIONS_READ["build-dataset"] + SECTIONS_READ["train"],
    "export": SECTIONS_READ["build-dataset"] + SECTIONS_READ["train"] + SECTIONS_READ["export"],
}
_UNDIGESTED: dict[str, Any] = {
    "sources": {
        "max_reject_ratio": True,
        "item_join": True,
        "interactions": {"days_off"},
        "items": {"max_age_days"},
        "queries": {"max_age_days"},
    },
    "statistics": {
        "max_missing_increase",
        "max_new_values",
        "max_out_of_range",
        "max_l_infinity",
        "max_jensen_shannon",
    },
    "train": {"checkpoint_every"},
    "evaluate": {"batch_size", "max_queries", "baselines"},
}
"""Keys of these sections that change no dataset, model or export: thresholds, what costs memory and time alone, what is
ranked after training. What is finished or half done stays so when they change."""


def spec_digest(spec: Spec, verb: str) -> str:
    """Digest of what `digested` gives."""
    return digest(digested(spec, verb))


def digested(spec: Spec, verb: str) -> dict[str, Any]:
    """What a stage's result depends on, by section: its own sections and those of the stages before it."""
    tree = spec.model_dump(mode="json", exclude=_UNDIGESTED)
    return {section: tree[section] for section in _DIGESTED[verb]}
