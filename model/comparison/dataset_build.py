"""Has the dataset of a comparison built, by the command that everybody builds with."""

import subprocess

from features.dataset import Dataset
from features.spec.overrides import set_options
from features.spec.spec import Spec
from stage import storage
from stage.child_process import run_verb
from stage.errors import Interrupted, StageError
from stage.manifest import Manifest


def build_dataset(spec: Spec, *, source: str, raw: str | None, directory: str) -> Dataset:
    """Builds it, or finds it as it was left by an earlier command of the same spec and input.

    Args:
        spec: With the share of training pairs that is wanted.
        source: Name or path that the spec was loaded from.
        raw: As `build-dataset` takes it.
        directory: Gets `dataset`.

    Raises:
        StageError: If the build fails, or another spec's or input's dataset is there.
        SystemExit: If the spec or the input is wrong; the build has said so.
        Interrupted: If the build, or this process, was interrupted.
    """
    where = ["--raw", raw] if raw is not None else []
    arguments = ["--spec", source, *where, "--output", directory, "--until", "build-dataset"]
    try:
        run_verb("run", [*arguments, *set_options(spec, "build-dataset")], stdout=subprocess.DEVNULL, process_group=0)
    except StageError as error:
        if Manifest.find(storage.join(directory, "dataset")) is None or isinstance(error, Interrupted):
            raise
        raise StageError(
            f"{directory}: holds a dataset of before, and this one can't be built, see above; where spec or log are "
            "others now, give another --output"
        ) from None
    return Dataset.open(storage.join(directory, "dataset"))
