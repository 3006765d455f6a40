"""metrics.json, which `evaluate` leaves: of which evaluation it is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from features.spec.errors import describe_invalid
from features.spec.evaluate import Evaluate
from features.split import SplitName
from stage import storage

NAME = "metrics.json"


@dataclass(frozen=True)
class Evaluation:
    """What is ranked, and by which model."""

    split: SplitName
    settings: Evaluate
    digests: Mapping[str, str]
    """Of the dataset's and the model's content, where there is one."""
    candidates: Mapping[str, str | int] | None = None
    """How many items are ranked, and their digest; None: all."""

    def to_json(self) -> dict[str, Any]:
        """As the file has it, beside metrics."""
        found = {"split": self.split, "settings": self.settings.model_dump(mode="json"), "digests": dict(self.digests)}
        return found if self.candidates is None else {**found, "candidates": dict(self.candidates)}


def read_evaluation(path: str) -> Evaluation | None:
    """Of which evaluation a file is; None if there is none.

    Raises:
        ValueError: If it is no metrics.json of this version.
    """
    if not storage.exists(path):
        return None
    try:
        found = json.loads(storage.read_bytes(path))
        settings = Evaluate.model_validate(found["settings"])
        return Evaluation(found["split"], settings, dict(found["digests"]), found.get("candidates"))
    except ValidationError as error:
        raise ValueError(f"settings: {describe_invalid(error)}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(repr(error)) from None


def why_other_metrics(path: str, wanted: Evaluation) -> str | None:
    """How metrics.json differs from that of an evaluation, in words that follow on its path.

    Returns:
        Empty if it doesn't differ; None if there is none.
    """
    try:
        found = read_evaluation(path)
    except ValueError:
        return f"is no {NAME} of this version"
    if found is None:
        return None
    names = sorted({*found.digests, *wanted.digests})
    differs = {
        **{name: found.digests.get(name) != wanted.digests.get(name) for name in names},
        "split": found.split != wanted.split,
        "choice of items": found.candidates != wanted.candidates,
        "section evaluate": _deciding(found.settings) != _deciding(wanted.settings),
    }
    differing = [name for name, is_other in differs.items() if is_other]
    return f"was made from another {' and '.join(differing)}" if differing else ""


def _deciding(settings: Evaluate) -> dict[str, Any]:
    """The keys that a metric depends on."""
    return settings.model_dump(exclude={"batch_size"})
