"""The history of a training: history.json in the model directory."""

import json
from typing import Any, TypeAlias

from model.ranking.cut_off import DECIDES
from stage import storage
from stage.errors import StageError

NAME = "history.json"
Entry: TypeAlias = dict[str, Any]
"""A validation: its step, losses and metrics. After step 0, of what a warm start found, losses are None."""
History: TypeAlias = list[Entry]
"""One entry per validation."""
_NEXT = "recall@10"
"""What decides where equal is what does: up to 50 items all have all of that."""


def best_of(history: History) -> int:
    """Index of the best validation: that with the highest Recall@50, or the last where none has one.

    Of equals that with the highest Recall@10, and of these the first.
    """
    found = [
        (entry[DECIDES], entry.get(_NEXT) or 0.0, -i)
        for i, entry in enumerate(history)
        if entry.get(DECIDES) is not None
    ]
    return -max(found)[-1] if found else len(history) - 1


def best_entry(history: History) -> Entry:
    """The best of at least one validation."""
    return history[best_of(history)]


def read_history(model: str) -> History:
    """Reads a model's history.

    Raises:
        StageError: If it isn't there or isn't as `train` writes it.
    """
    path = storage.join(model, NAME)
    try:
        found = json.loads(storage.read_bytes(path))
        return [{**entry, "step": int(entry["step"])} for entry in found]
    except (ValueError, KeyError, TypeError) as error:
        raise StageError(f"{path}: expected what train writes, one entry per validation: {error!r}") from None


def write_history(model: str, history: History) -> None:
    """Writes it."""
    storage.write_bytes(storage.join(model, NAME), json.dumps(history, indent=1).encode() + b"\n")
