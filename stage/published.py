"""The directory of published models, as its readers see it: P/1/, P/2/, ..., and P/CURRENT, the number served."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from stage import storage
from stage.errors import StageError, StorageError
from stage.first_problem import first_problem
from stage.instant import parse_instant
from stage.manifest import NAME, Manifest

CURRENT = "CURRENT"
RECORD = "published.json"


class Record(BaseModel):
    """How a number came to be: P/N/published.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    run_id: str
    """Of the publish or rollback, sorts by time."""
    rolled_back_to: int | None = None
    """The older number whose model this is again."""
    rolled_back_from: tuple[str, ...] = ()
    """Digests of the models that a rollback went back from: it, or one before it whose number may be gone."""


@dataclass(frozen=True)
class Published:
    """A published model: an export, unchanged, and its record."""

    directory: str
    record: Record
    manifest: Manifest

    @property
    def number(self) -> int:
        """N."""
        return self.record.number

    @property
    def model(self) -> str:
        """Digest of the model that was exported.

        Raises:
            StageError: As `model_of`.
        """
        return model_of(self.manifest, self.directory)

    def later_ends(self, manifest: Manifest) -> tuple[str, str] | None:
        """The ends of the data of this one and another, if this one's is later: of the model's, else of the items'.

        None if neither is, or one had no end.
        """
        for mine, theirs in zip(_ends(self.manifest), _ends(manifest), strict=True):
            if mine is not None and theirs is not None and _instant(mine) > _instant(theirs):
                return mine, theirs
        return None

    def is_whole(self) -> bool:
        """Whether every file is there, as large as it was written; else stderr names one that isn't.

        Raises:
            StorageError: If the directory can't be listed.
        """
        try:
            self.manifest.check_files(self.directory)
        except StorageError:
            raise
        except StageError as error:
            print(f"{error}; {self.directory} is left out", file=sys.stderr)
            return False
        return True


def model_of(manifest: Manifest, directory: str) -> str:
    """Digest of the model behind an export.

    Raises:
        StageError: If its manifest doesn't say so, as every one that `export` wrote does.
    """
    digest = manifest.inputs.get("model")
    if digest is None:
        raise StageError(f"{directory}/{NAME}: expected the digest of its model, found none")
    return digest


def data_end_of(manifest: Manifest) -> int | None:
    """The `--data-end` behind a dataset, a model or an export, in UTC microseconds; None if there was none."""
    end, _ = _ends(manifest)
    return None if end is None else _instant(end)


def _ends(manifest: Manifest) -> tuple[str | None, str | None]:
    """Of a model's data, and of its items, which an export may have from another dataset."""
    end = manifest.job_options.get("data_end")
    return end, manifest.job_options.get("items_end", end)


def _instant(text: str) -> int:
    return parse_instant(text, "data_end")


def current_number(base: str) -> int | None:
    """The number that is served; None if nothing is published.

    Raises:
        StageError: If CURRENT holds no number.
    """
    path = storage.join(base, CURRENT)
    return parse_current(storage.read_bytes(path), path) if storage.exists(path) else None


def refuse_published(output: str) -> None:
    """Lets no export be written over a model that is served, or may be again.

    Raises:
        StageError: If such a model is there.
    """
    if storage.exists(storage.join(output, RECORD)):
        raise StageError(f"{output}: is a published model; give another --output, and publish that")


def nothing_published(base: str) -> str | None:
    """That nothing is published, in words, with what tells a misspelt directory; None if something is.

    Raises:
        StageError: As `current_number`.
    """
    if current_number(base) is not None:
        return None
    return f"nothing is published in {base}{'' if storage.exists(base) else ', which is not there'}"


def served_number(base: str) -> int | None:
    """The number that is served: that of CURRENT, or of a rollback above it, which was killed before CURRENT said so.

    TensorFlow Serving has gone back already, and so do `gate`, `train` and `publish`: what was wrong with the model of
    CURRENT is not to decide over another one.

    Raises:
        StageError: As `current_number`.
    """
    current = current_number(base)
    if current is None:
        return None
    above = (found for number in numbers(base) if number > current and (found := _find(base, number)) is not None)
    return max((found.number for found in above if found.record.rolled_back_to is not None), default=current)


def parse_current(content: bytes, path: str) -> int:
    """The number that CURRENT holds.

    Raises:
        StageError: If it holds none.
    """
    text = content.strip()
    if not text.isdigit():
        raise StageError(f"{path}: expected the number of a published model, found {content[:40]!r}")
    return int(text)


def numbers(base: str) -> list[int]:
    """Every number there is, ascending; on gs:// also what a publish is still writing, or was killed while writing."""
    return sorted(int(name) for name in _digits(base) if name == str(int(name)))


def miswritten_numbers(base: str) -> list[str]:
    """Names such as 01, which no publish makes, but which another reader may take for numbers."""
    return sorted(name for name in _digits(base) if name != str(int(name)))


def _digits(base: str) -> list[str]:
    return [name for name in storage.names(base) if name.isascii() and name.isdigit()]


def published_models(base: str) -> list[Published]:
    """What is published, newest first, its files unchecked; one whose manifest or record is damaged is left out.

    Raises:
        StageError: If one can't be read, as where a store doesn't answer.
    """
    return [found for number in reversed(numbers(base)) if (found := _find(base, number)) is not None]


def served_models(base: str) -> list[Published]:
    """The model that is served and those before it, as of `published_models`; none if nothing is published.

    Raises:
        StageError: As `published_models`, if CURRENT holds no number, or that number is damaged: what decides by older
            ones instead would let worse models pass.
    """
    served = served_number(base)
    models = [] if served is None else [found for found in published_models(base) if found.number <= served]
    if served is not None and (not models or models[0].number != served):
        raise StageError(
            f"{base}/{served}: expected a whole model, since it is the one served; restore it, or serve another one "
            "(rollback, or publish)"
        )
    return models


def trained_on(base: str, dataset: Manifest) -> Published | None:
    """The last published model that was trained on a dataset, which must stay then; None if none was.

    Args:
        base: P, the directory of published models.
        dataset: The dataset's manifest.

    Raises:
        StageError: If the manifest of the model behind a number can't be read.
    """
    for found in published_models(base):
        place = found.manifest.job_options.get("model")
        model = None if place is None else Manifest.find(place)
        # Of a model that is gone, or another one has been trained there since, the export says what it was made with:
        # mostly the dataset that the model was trained on, but after a refused night a later one.
        known = model if model is not None and model.content_digest == found.model else found.manifest
        if known.inputs.get("dataset") == dataset.content_digest:
            return found
    return None


def given_up(models: Sequence[Published]) -> frozenset[str]:
    """Digests of the models that a rollback went back from: no publish and no rollback returns to one unless told to.

    Not those that were published or gone back to since.

    Args:
        models: As of `published_models`.
    """
    found = frozenset[str]()
    for model in reversed(models):
        found = found - {model.model} | {*model.record.rolled_back_from}
    return found


def _find(base: str, number: int) -> Published | None:
    """A number, None if it isn't whole; of a damaged one stderr says so. The manifest comes last."""
    directory = storage.join(base, str(number))
    if not storage.exists(storage.join(directory, NAME)):
        return None
    try:
        manifest = Manifest.open(directory, "export")
        return Published(directory, _read_record(directory), manifest)
    except StorageError:
        raise
    except StageError as error:
        print(f"{error}; {base}/{number} is left out", file=sys.stderr)
        return None


def _read_record(directory: str) -> Record:
    path = storage.join(directory, RECORD)
    if not storage.exists(path):
        raise StageError(f"{path}: expected the record of a published model, found nothing")
    try:
        return Record.model_validate_json(storage.read_bytes(path))
    except ValidationError as error:
        raise StageError(f"{path}: not the record of a published model: {first_problem(error)}") from None
