"""Where an unfinished training stands: kept in the output directory, and found again by the same command."""

import json
import time

import numpy as np

from model.npz import Arrays, assign, pack, unpack
from model.training_history import History, best_of
from model.training_step import TrainingStep
from model.two_tower import TwoTower
from stage import storage
from stage.errors import StageError

FOLDER = "checkpoints"
_RUN = "run.json"
_LEAST_SECONDS = 10.0
_SHARE_OF_TIME = 0.01


class Checkpoints:
    """Saves checkpoints, and knows when the next is due: every so many steps, or by what saving one costs."""

    def __init__(self, output: str, *, every: int | None) -> None:
        """Starts the clock.

        Args:
            output: The model directory.
            every: Steps between checkpoints; None: so that saving takes a hundredth of the time.
        """
        self._output = output
        self._every = every
        self._cost = 0.0  # seconds that the last one took
        self._end = time.monotonic()

    def is_due(self, step: int) -> bool:
        """Whether to save after so many steps."""
        if self._every is not None:
            return step > 0 and step % self._every == 0
        return time.monotonic() - self._end >= max(_LEAST_SECONDS, self._cost / _SHARE_OF_TIME)

    def save(self, training: TrainingStep, history: History) -> None:
        """Keeps everything that the next step depends on. Of the checkpoints before it only the best one stays."""
        start = time.monotonic()
        name = _name(int(training.step.numpy()))
        pack(storage.join(self._output, FOLDER, name), training.state() | {"history": np.array(json.dumps(history))})
        kept = {name, *(_name(entry["step"]) for entry in history[best_of(history) :][:1])}
        for old in set(_names(self._output)) - kept:
            storage.delete(storage.join(self._output, FOLDER, old))
        self._end = time.monotonic()
        self._cost = self._end - start


def is_resumable(output: str, digests: dict[str, str], *, overwrite: bool) -> bool:
    """Whether an output directory holds an unfinished training of the same spec and dataset.

    Raises:
        StageError: If it holds one of others, and may not overwrite it.
    """
    path = storage.join(output, FOLDER, _RUN)
    if not storage.exists(path) or storage.exists(storage.join(output, "manifest.json")):
        return False
    try:
        found = json.loads(storage.read_bytes(path))
    except ValueError:
        found = None
    if found == digests:
        return True
    if not overwrite:
        before = found if isinstance(found, dict) else {}
        differing = [name for name in sorted({*digests, *before}) if before.get(name) != digests.get(name)]
        raise StageError(
            f"{output}: holds an unfinished training of another {' and '.join(differing)}; "
            "--overwrite starts anew, another --output keeps it"
        )
    return False


def start_run(output: str, digests: dict[str, str]) -> None:
    """Notes what is trained, for `is_resumable`."""
    content = json.dumps(digests, indent=1, sort_keys=True).encode() + b"\n"
    storage.write_bytes(storage.join(output, FOLDER, _RUN), content)


def has_checkpoint(output: str) -> bool:
    """Whether `restore_checkpoint` would change anything."""
    return bool(_names(output))


def restore_best(output: str, two_tower: TwoTower, *, history: History) -> None:
    """Sets the weights to those of the best validation.

    Raises:
        StageError: If its checkpoint is missing or incomplete.
    """
    name = _name(history[best_of(history)]["step"])
    assign(two_tower.weights(), read_checkpoint(output, name), source=storage.join(output, FOLDER, name))


def restore_checkpoint(output: str, training: TrainingStep) -> History:
    """Sets a training to where its latest checkpoint stands.

    Returns:
        The history until then; empty if there is no checkpoint and nothing was changed.

    Raises:
        StageError: If the checkpoint is missing or incomplete, or isn't one of this training.
    """
    names = _names(output)
    if not names:
        return []
    path = storage.join(output, FOLDER, names[-1])
    arrays = read_checkpoint(output, names[-1])
    if "history" not in arrays:
        raise StageError(f"{path}: expected a checkpoint, found no history in it; --overwrite starts anew")
    assign(training.state(), arrays, source=path)
    history: History = json.loads(str(arrays["history"]))
    return history


def read_checkpoint(output: str, name: str) -> Arrays:
    """The arrays of one checkpoint.

    Raises:
        StageError: If it is missing or incomplete.
    """
    try:
        return unpack(storage.join(output, FOLDER, name))
    except StageError as error:
        *before, latest = _names(output) or [""]
        if name != latest:
            raise StageError(f"{error}; --overwrite trains anew") from None
        where = before[-1] if before else "the start"
        raise StageError(f"{error}; delete it, and the same command goes on from {where}") from None


def checkpoint_path(output: str, *, step: int) -> str:
    """Where the checkpoint of a step lies."""
    return storage.join(output, FOLDER, _name(step))


def _name(step: int) -> str:
    return f"step-{step:09d}.npz"


def _names(output: str) -> list[str]:
    return sorted(n for n in storage.sizes(storage.join(output, FOLDER)) if n.endswith(".npz"))
