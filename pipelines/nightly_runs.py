"""The directory of the retraining's runs, RUNS/NAME/: which there are, and which dataset the next one is held to."""

import os
import sys
from collections.abc import Iterable
from datetime import datetime

from features.metrics_file import NAME as METRICS
from stage import storage
from stage.errors import StageError, StorageError
from stage.manifest import NAME, Manifest

OUTPUTS = ("aggregate", "dataset", "model", "export")
"""Directories of a run, each with a manifest."""
MADE = (*OUTPUTS, METRICS)
"""What a run has, if nothing else."""


def is_run(name: str) -> bool:
    """Whether it is a run's name, which sorts as the start of its interval does; all else is none of ours."""
    written = "%Y-%m-%dt%H-%M" if "t" in name else "%Y-%m-%d"
    try:
        return datetime.strptime(name, written).strftime(written) == name
    except ValueError:
        return False


def last_trained(runs: str, names: Iterable[str], *, before: str) -> str | None:
    """The last run before a name whose dataset a model was trained on, as only one that `validate` let pass is.

    Args:
        runs: The directory.
        names: What is in it.
        before: The name.
    """
    earlier = sorted((name for name in names if is_run(name) and name < before), reverse=True)
    return next((name for name in earlier if _is_trained(storage.join(runs, name))), None)


def find_baseline(dataset: str, baseline: str | None) -> str | None:
    """The dataset that `--baseline` holds another one to, of a run told on stderr.

    Args:
        dataset: The other one.
        baseline: A dataset; or RUNS, where the other one is RUNS/NAME/dataset: that of the last run before it that has
            trained a model. None: none.
    """
    # The run itself may be a link, as to another disk.
    run = os.path.dirname(storage.from_root(dataset).rstrip("/"))
    above = storage.absolute(os.path.dirname(run)).rstrip("/")
    if baseline is None or above != storage.absolute(baseline).rstrip("/"):
        return baseline
    if storage.exists(storage.join(baseline, NAME)):  # a dataset below which another is built
        return baseline
    last = last_trained(baseline, storage.names(baseline), before=os.path.basename(run))
    found = None if last is None else storage.join(baseline, last, "dataset")
    none = f"none, since {baseline} has no earlier run that has trained a model"
    print(f"--baseline: {found or none}", file=sys.stderr)
    return found


def _is_trained(run: str) -> bool:
    try:
        dataset, model = (Manifest.find(storage.join(run, stage)) for stage in ("dataset", "model"))
    except StorageError:
        raise
    except StageError as error:
        print(f"{error}; its run is passed over", file=sys.stderr)
        return False
    return dataset is not None and model is not None and model.inputs.get("dataset") == dataset.content_digest
