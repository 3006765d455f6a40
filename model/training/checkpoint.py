"""Where an unfinished training stands: kept in the output directory, and found again by the same command."""

import json
import sys
import time

import numpy as np

from model.network.npz import Arrays, Unusable, assign, check_fit, pack, unpack
from model.network.two_tower import TwoTower
from model.training.training_history import History, best_entry
from model.training.training_step import TrainingStep
from stage import storage
from stage.errors import StageError
from stage.manifest import NAME, UNFINISHED, MadeFrom, Manifest, versions

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
        kept = {name, _name(best_entry(history)["step"])} if history else {name}
        _delete_all_but(kept, self._output)
        self._end = time.monotonic()
        self._cost = self._end - start


def is_resumable(output: str, training: TrainingStep, *, made_from: MadeFrom, overwrite: bool) -> bool:
    """Whether an output directory holds an unfinished training that can go on; one that has saved nothing can't.

    Args:
        output: The model directory.
        training: What its checkpoints must fit.
        made_from: What the training must have begun from; under this program's version, too.
        overwrite: Say on stderr why not, instead of raising.

    Raises:
        StageError: If it holds one that can't, and may not overwrite it; or a checkpoint can't be read now.
    """
    path = storage.join(output, FOLDER, _RUN)
    finished, begun = (storage.exists(storage.join(output, name)) for name in (NAME, UNFINISHED))
    if finished or not begun or not has_checkpoint(output):
        return False
    try:
        if not storage.exists(path):
            raise Unusable(f"{output}: holds checkpoints without {_RUN}, which would say of what training they are")
        _check_run(output, made_from, begun=_parse(storage.read_bytes(path), path))
        _check_checkpoints(output, training)
    except Unusable as error:
        if not overwrite:
            raise StageError(f"{error}; --overwrite starts anew, another --output keeps it") from None
        print(f"{error}; --overwrite starts anew", file=sys.stderr)
        return False
    return True


def _parse(found: bytes, path: str) -> Manifest:
    try:
        return Manifest.parse(found, path)
    except StageError as error:
        raise Unusable(str(error)) from None


def _check_run(output: str, made_from: MadeFrom, *, begun: Manifest) -> None:
    if of_another := made_from.describe(begun):
        raise Unusable(f"{output}: holds an unfinished training, {of_another}")
    there, here = (every.get("ssl-two-tower") for every in (begun.versions, versions()))
    if there != here:
        raise Unusable(f"{output}: holds an unfinished training of version {there}, this is {here}")


def _check_checkpoints(output: str, training: TrainingStep) -> None:
    """Checks the latest, from which a training goes on, and the best, whose weights it may end with."""
    *earlier, latest = _names(output)
    path = storage.join(output, FOLDER, latest)
    try:
        arrays = unpack(path)
        history = _history(arrays, source=path)
    except Unusable as error:
        instead = f"; if you delete it, the same command goes on from {earlier[-1]}" if earlier else ""
        raise Unusable(f"{error}{instead}") from None
    check_fit(training.state(), arrays, source=path)
    del arrays  # `check_fits` allows for one checkpoint in memory beside the training
    if not history:
        return
    best = _name(best_entry(history)["step"])
    path = storage.join(output, FOLDER, best)
    if best not in (*earlier, latest):
        raise Unusable(f"{path}: expected the best checkpoint, found none")
    if best != latest:
        check_fit(training.state(), unpack(path), source=path)


def start_run(output: str, begun: Manifest) -> None:
    """Notes what is trained, for `is_resumable`; not as a manifest.json, by which the folder would seem a model."""
    storage.write_bytes(storage.join(output, FOLDER, _RUN), begun.to_json())


def has_checkpoint(output: str) -> bool:
    """Whether `restore_checkpoint` would change anything."""
    return bool(_names(output))


def restore_best(output: str, two_tower: TwoTower, *, history: History) -> None:
    """Sets the weights to those of the best validation.

    Raises:
        StageError: If its checkpoint is missing or incomplete.
    """
    path = checkpoint_path(output, step=best_entry(history)["step"])
    try:
        assign(two_tower.weights(), unpack(path), source=path)
    except Unusable as error:
        raise StageError(f"{error}; --overwrite trains anew") from None


def keep_best(output: str, *, history: History) -> set[str]:
    """Deletes every checkpoint but that of the best validation: of a finished model nothing else is read.

    Returns:
        Their names below the output directory.
    """
    deleted = _delete_all_but({_name(best_entry(history)["step"])}, output)
    return {storage.join(FOLDER, name) for name in deleted}


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
    arrays = unpack(path)
    assign(training.state(), arrays, source=path)
    return _history(arrays, source=path)


def checkpoint_path(output: str, *, step: int) -> str:
    """Where the checkpoint of a step lies."""
    return storage.join(output, FOLDER, _name(step))


def _history(arrays: Arrays, *, source: str) -> History:
    if "history" not in arrays:
        raise Unusable(f"{source}: expected a checkpoint, found no history in it")
    history: History = json.loads(str(arrays["history"]))
    return history


def _name(step: int) -> str:
    return f"step-{step:09d}.npz"


def _delete_all_but(kept: set[str], output: str) -> set[str]:
    deleted = set(_names(output)) - kept
    for name in deleted:
        storage.delete(storage.join(output, FOLDER, name))
    return deleted


def _names(output: str) -> list[str]:
    return sorted(n for n in storage.sizes(storage.join(output, FOLDER)) if n.endswith(".npz"))
