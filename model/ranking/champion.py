"""The published model that a new one is compared with, and may start from."""

import sys
from collections.abc import Sequence

from features.dataset import Dataset
from features.spec.file import spec_of
from model.network.finished_model import FinishedModel
from model.ranking.held_out import why_seen
from stage import storage
from stage.errors import StageError
from stage.manifest import Manifest
from stage.published import Published, published_models


def find_champion(
    served: Sequence[Published], dataset: Dataset, *, other_than: Manifest | None = None
) -> Published | None:
    """The last published model that can't have been trained on a dataset's test split; None if there is none.

    Of those that are passed over for it stderr says why.

    Args:
        served: The published model that is served and those before it, newest first.
        dataset: Whose test split both will rank.
        other_than: A finished model that may be published already: none is compared with itself.

    Raises:
        StageError: If the spec of a published model can't be read.
    """
    for found in served:
        if other_than is not None and found.model == other_than.content_digest:
            continue
        why = why_seen(found.manifest, spec_of(found.manifest, found.directory), dataset=dataset)
        if why is None:
            return found
        print(
            f"{found.directory}: no champion, since it may have been trained on this test split: {why}",
            file=sys.stderr,
        )
    return None


def open_model(published: Published, *, verify: bool = False) -> FinishedModel:
    """Opens the model behind a published export.

    Args:
        published: The export.
        verify: Also compare every file's SHA-256.

    Raises:
        StageError: If it isn't there any more, isn't whole, or is another one.
    """
    directory = published.manifest.job_options.get("model")
    if directory is None:
        raise StageError(f"{published.directory}/manifest.json: expected where its model lies; export the model again")
    model = FinishedModel.open(directory, verify=verify) if storage.exists(directory) else None
    if model is None or model.manifest.content_digest != published.model:
        found = "nothing" if model is None else "another one"
        raise StageError(
            f"{directory}: expected the model behind {published.directory}, where its export found it, found {found}; "
            "put it back there, or link it there if it was moved; if it is gone, judge the new model by its "
            "metrics.json (train takes --cold-start) and publish it without the gate"
        )
    return model


def find_exported(base: str, finished: Manifest, *, directory: str) -> Published | None:
    """The last published model that was exported from a finished one, which must stay then; None if none was.

    Later ones are compared with it, and start from it. It is known by its digest, wherever it has been moved since, and
    by the place where its export found it.

    Args:
        base: P, the directory of published models.
        finished: The model's manifest.
        directory: Where it lies.
    """
    for found in published_models(base):
        place = found.manifest.job_options.get("model")
        of_place = place is not None and storage.absolute(place) == storage.absolute(directory)
        if of_place or found.model == finished.content_digest:
            return found
    return None
