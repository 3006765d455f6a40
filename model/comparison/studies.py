"""The store of trainings: one JSON file per variant, protocol and dataset, rewritten whole after each training.

A training is named by its settings and seed, so that a comparison which was stopped finds what it has.
"""

import json
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeAlias

from pydantic import ValidationError

from model.comparison.json_part import JsonPart, if_known
from model.comparison.variants import Settings
from model.ranking.cut_off import DECIDES
from stage import storage
from stage.errors import StageError
from stage.first_problem import first_problem
from stage.manifest import digest


class Ranking(JsonPart):
    """How a model did on a split."""

    metrics: dict[str, dict[str, float | None]]
    """Slice -> metric -> value."""
    top_50: str
    """Packed flags: which pair's item is in its query's top 50; the split's pairs in the order of `SplitShape`."""
    last_ranks: str | None = None
    """Packed numbers, of reported trainings on test: `RankedSplit.last_rank`, 0 where no metric up to 50 counts it.
    Ranks beyond 50 are there too, since a pair may come before its tie's last (`pack_last_ranks`)."""
    cold_last_ranks: str | None = if_known()
    """The same of the pairs with a cold item, among the cold items alone; where the spec has `split.cold_items`."""


class Correction(JsonPart):
    """A model whose cold items' scores are raised by a constant."""

    shift: float
    test: Ranking


class Training(JsonPart):
    """A finished training, or one that came to nothing."""

    settings: Settings
    """What differs from the spec of the comparison, but for the seed."""
    seed: int | None
    """None for what has no seed."""
    steps: int = 0
    best_step: int = 0
    """Its weights were ranked."""
    cpu_seconds: float = 0.0
    validation: Ranking | None = None
    test: Ranking | None = None
    """Of reported trainings alone: test is read for nothing else."""
    corrections: dict[str, Correction] | None = if_known()
    """Of reported trainings where the spec has `split.cold_items`, by their price on validation (`CORRECTED`)."""
    failure: str | None = None
    """Why there is no result, such as a loss that became infinite."""

    def recall(self) -> float:
        """Recall@50 on validation, which decides everything that is chosen; 0 without a result."""
        value = None if self.validation is None else self.validation.metrics["overall"][DECIDES]
        return value or 0.0


Trainer: TypeAlias = Callable[[Settings, Sequence[int]], list[Training]]
"""Settings and seeds -> their trainings, in order."""


class _File(JsonPart):
    format_version: Literal[1] = 1
    context: dict[str, str]
    chosen: Settings | None = None
    trainings: list[Training]
    digest: str
    """Of everything else."""


class Study:
    """The trainings of one variant under one protocol."""

    def __init__(self, path: str, *, context: dict[str, str] | None = None) -> None:
        """Opens the file if there is one.

        Args:
            path: Of the file.
            context: What the trainings depend on beside their settings and seed: digests of dataset and spec, and what
                `held_for_all` says of the spec, if anything; None: what the file says, which must be there then.

        Raises:
            StageError: If the file isn't whole, or its trainings are of another context.
        """
        self.path = path
        self._storing = threading.Lock()
        self.trainings: list[Training] = []
        self.chosen: Settings | None = None
        """What the search came to, once it has ended."""
        if context is None or storage.exists(path):
            found = _read(path)
            context = found.context if context is None else context
            for name in sorted({*context, *found.context}):
                if context.get(name) != found.context.get(name):
                    raise StageError(
                        f"{path}: expected trainings of this {name}, {_short(context, name)}, found those of another, "
                        f"{_short(found.context, name)}; {_DIFFERS.get(name, 'another version made them')}; give "
                        "another --output, or the options of before"
                    )
            self.trainings, self.chosen = found.trainings, found.chosen
        self.context = context

    def find(self, settings: Settings, seed: int | None, *, tested: bool = False) -> Training | None:
        """The training of these settings and seed, if it is there; with its test ranking, if that is asked for."""
        for training in self.trainings:
            same = (training.settings, training.seed) == (settings, seed)
            if same and (training.test is not None or training.failure is not None or not tested):
                return training
        return None

    def reported(self) -> list[Training]:
        """Trainings with the chosen settings that were ranked on test, by seed, whichever ended first."""
        found = [t for t in self.trainings if t.settings == self.chosen and t.test is not None]
        return sorted(found, key=lambda training: training.seed or 0)

    def add(self, training: Training) -> None:
        """Keeps a training, of any thread; the file is whole before and after."""
        with self._storing:
            self._write([*self.trainings, training], self.chosen)

    def choose(self, settings: Settings) -> None:
        """Keeps what the search came to."""
        if settings != self.chosen:
            self._write(self.trainings, settings)

    def _write(self, trainings: list[Training], chosen: Settings | None) -> None:
        file = _File(context=self.context, chosen=chosen, trainings=trainings, digest="")
        file = file.model_copy(update={"digest": _digest(file)})
        # A training a line, so that a diff of the file shows what was added.
        head = json.dumps({"format_version": file.format_version, "digest": file.digest, "context": self.context})
        head = f'{head[:-1]}, "chosen": {json.dumps(chosen)}, "trainings": ['
        lines = ",\n".join(training.model_dump_json() for training in trainings)
        storage.write_bytes(self.path, f"{head}\n{lines}\n]}}\n".encode())
        self.trainings, self.chosen = trainings, chosen


_DIFFERS = {
    "dataset": "the log, or what a build reads of the spec, has changed",
    "spec": "what a training reads of the spec, a --set or --most-steps has changed",
}
"""What a study depends on -> why that may be another one."""


def _short(context: dict[str, str], name: str) -> str:
    """As much of a digest as anybody compares."""
    return context.get(name, "none")[:12]


def by_settings(trainings: Iterable[Training]) -> list[tuple[Settings, list[Training]]]:
    """Trainings of the same settings together, in the order of the first of each."""
    found: list[tuple[Settings, list[Training]]] = []
    for training in trainings:
        same = next((of_settings for settings, of_settings in found if settings == training.settings), None)
        if same is None:
            found.append((training.settings, [training]))
        else:
            same.append(training)
    return found


def _digest(file: _File) -> str:
    return digest(file.model_dump(mode="json", exclude={"digest"}))


def _read(path: str) -> _File:
    try:
        file = _File.model_validate_json(storage.read_bytes(path))
    except ValidationError as error:
        raise StageError(f"{path}: not a whole study: {first_problem(error)}; {_REMEDY}") from None
    if _digest(file) != file.digest:
        raise StageError(f"{path}: its content was changed since it was written; {_REMEDY}")
    return file


_REMEDY = "restore it, or delete it to train anew"
