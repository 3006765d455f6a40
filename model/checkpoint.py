"""Where an unfinished training stands: kept in the output directory, and found again by the same command."""

import json
from typing import Any, TypeAlias

import numpy as np

from model.training_step import TrainingStep
from model.two_tower import TwoTower, assign, pack, unpack
from stage import storage
from stage.errors import StageError

History: TypeAlias = list[dict[str, Any]]
"""One entry per validation: what history.json holds."""

BEST = "recall@50"
_FOLDER = "checkpoints"
_RUN = f"{_FOLDER}/run.json"


def is_resumable(output: str, digests: dict[str, str], *, overwrite: bool) -> bool:
    """Whether an output directory holds an unfinished training of the same spec and dataset.

    Raises:
        StageError: If it holds one of others, and may not overwrite it.
    """
    path = storage.join(output, _RUN)
    if not storage.exists(path) or storage.exists(storage.join(output, "manifest.json")):
        return False
    try:
        found = json.loads(storage.read_bytes(path))
    except ValueError:
        found = None
    if found == digests:
        return True
    if not overwrite:
        differing = [name for name in digests if not isinstance(found, dict) or found.get(name) != digests[name]]
        raise StageError(
            f"{output}: holds an unfinished training of another {' and '.join(differing)}; "
            "--overwrite starts anew, another --output keeps it"
        )
    return False


def start_run(output: str, digests: dict[str, str]) -> None:
    """Notes what is trained, for `is_resumable`."""
    storage.write_bytes(storage.join(output, _RUN), json.dumps(digests, indent=1, sort_keys=True).encode() + b"\n")


def best_of(history: History) -> int:
    """Index of the best validation: the first with the highest Recall@50, or the last where none has one."""
    found = [(entry[BEST], -i) for i, entry in enumerate(history) if entry.get(BEST) is not None]
    return -max(found)[1] if found else len(history) - 1


def save_checkpoint(output: str, training: TrainingStep, history: History) -> None:
    """Keeps everything that the next step depends on. Of the checkpoints before it only the best one stays."""
    name = _name(int(training.step.numpy()))
    arrays = {key: variable.numpy() for key, variable in training.state().items()}
    arrays["history"] = np.array(json.dumps(history))
    storage.write_bytes(storage.join(output, _FOLDER, name), pack(arrays))
    kept = {name, *(_name(entry["step"]) for entry in history[best_of(history) :][:1])}
    for old in set(_names(output)) - kept:
        storage.delete(storage.join(output, _FOLDER, old))


def restore_best(output: str, two_tower: TwoTower, history: History) -> None:
    """Sets the weights to those of the best validation.

    Raises:
        StageError: If its checkpoint is gone.
    """
    path = storage.join(output, _FOLDER, _name(history[best_of(history)]["step"]))
    assign(two_tower.weights(), unpack(path), source=path)


def restore_checkpoint(output: str, training: TrainingStep) -> History:
    """Sets a training to where its latest checkpoint stands.

    Returns:
        The history until then; empty if there is no checkpoint and nothing was changed.

    Raises:
        StageError: If the checkpoint isn't one of this training.
    """
    names = _names(output)
    if not names:
        return []
    path = storage.join(output, _FOLDER, names[-1])
    arrays = unpack(path)
    assign(training.state(), arrays, source=path)
    history: History = json.loads(str(arrays["history"]))
    return history


def _name(step: int) -> str:
    return f"step-{step:09d}.npz"


def _names(output: str) -> list[str]:
    return sorted(n for n in storage.sizes(storage.join(output, _FOLDER)) if n.endswith(".npz"))
