"""The published model that a new one is compared with, and may start from."""

import sys
from collections.abc import Sequence

from features.dataset import Dataset
from features.spec_file import spec_of
from features.split import time_bounds
from model.held_out import SplitByHash, other_pairs_held_out
from stage import storage
from stage.errors import StageError
from stage.manifest import Manifest
from stage.published import Published, published_models


def find_champion(served: Sequence[Published], dataset: Dataset) -> Published | None:
    """The last published model that has seen nothing of a dataset's test split; None if there is none.

    Where the split is by time, its data ends before that of the test split begins. Where it is by hash, the same pairs
    are held out of every day's training, and the last whose own split held them out is the one; of a later one stderr
    says why it isn't.

    Args:
        served: The published model that is served and those before it, newest first.
        dataset: Whose test split both will rank.

    Raises:
        StageError: If a published model doesn't say where its data ends.
    """
    bounds = time_bounds(dataset.spec.split, dataset.manifest.job_options.get("test_start"))
    for found in served:
        if bounds is None:
            of_model = SplitByHash.of(found.manifest, spec_of(found.manifest, found.directory))
            differing = other_pairs_held_out(of_model, SplitByHash.of(dataset.manifest, dataset.spec))
            if differing is None:
                return found
            print(
                f"{found.directory}: no champion, since it may have been trained on this test split: {differing}",
                file=sys.stderr,
            )
        elif found.data_end is None:
            raise StageError(
                f"{found.directory}: expected a model that says where its data ends, found none, so whether it has "
                "seen this test split is unknown; publish one whose dataset was built with --data-end"
            )
        elif found.data_end <= bounds.test_start:
            return found
    return None


def open_model(published: Published, *, verify: bool = False) -> tuple[str, Manifest]:
    """The model behind a published export: where it lies, and its manifest.

    Args:
        published: The export.
        verify: Also compare every file's SHA-256.

    Raises:
        StageError: If it isn't there any more, isn't whole, or is another one.
    """
    directory = published.manifest.job_options.get("model")
    if directory is None:
        raise StageError(f"{published.directory}/manifest.json: expected where its model lies; export the model again")
    if not storage.exists(directory):
        raise StageError(
            f"{directory}: expected the model behind {published.directory}, where its export found it, but nothing is "
            "there; put it back, or link it there if it was moved"
        )
    manifest = Manifest.read(directory, "model", verify=verify)
    if manifest.content_digest != published.manifest.inputs.get("model"):
        raise StageError(f"{directory}: expected the model behind {published.directory}, found another one")
    return directory, manifest


def refuse_published(base: str, model: str) -> None:
    """Keeps a finished model whose export is published: later ones are compared with it, and start from it.

    It is known by its digest, wherever it has been moved since, and by the place where its export found it.

    Args:
        base: P, the directory of published models.
        model: A directory that is about to be written.

    Raises:
        StageError: If such a model lies there.
    """
    finished = Manifest.find(model)
    if finished is None:
        return
    for found in published_models(base):
        of_place = found.manifest.job_options.get("model") == storage.absolute(model)
        if of_place or found.model == finished.content_digest:
            raise StageError(f"{model}: {found.directory} was exported from it, so it must stay; give another --output")
