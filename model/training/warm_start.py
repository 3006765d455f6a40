"""Going on from a model of another day: what it learned is carried over by vocabulary term.

A row of a table, and its optimizer slots, belong to a term, whose code changes from dataset to dataset. A term that the
model didn't know was shown to it as a feature's default (beside known terms not at all, with buckets as its bucket), so
its row starts there; a term that is gone is dropped. The rows of a hashed table belong to no term, and a term finds its
own by its hash: they are carried over as they are.

Shapes: R rows of a new table, D embedding dimension.
"""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from features.dataset import Dataset, EncodedFeature
from features.lookup import index_among
from features.spec.features import vocabulary_of
from features.spec.spec import Spec
from features.vocabularies import read_terms
from model.network.finished_model import FinishedModel
from model.network.npz import assign, of_finished, unpack_each
from model.ranking.held_out import why_seen
from model.training.checkpoint import checkpoint_path
from model.training.training_step import TrainingStep
from stage.errors import StageError

_ROWS_AT_ONCE = 1 << 14


def open_warm_start(directory: str, spec: Spec, *, dataset: Dataset, verify: bool = False) -> FinishedModel:
    """Opens a model that a training can go on from.

    Args:
        directory: Where `train` left it.
        spec: What will be trained.
        dataset: What it will be trained on.
        verify: Also compare every file's SHA-256.

    Raises:
        StageError: If it is missing or incomplete, its spec differs in what gives a weight its meaning, or it may have
            been trained on the dataset's test split; says why.
    """
    model = FinishedModel.open(directory, verify=verify)
    before, after = _meaning(model.spec), _meaning(spec)
    differing = [key for key in dict.fromkeys([*after, *before]) if before.get(key) != after.get(key)]
    if differing:
        found = "; ".join(f"{key} was {before.get(key)}, is {after.get(key)}" for key in differing[:3])
        more = f"; and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise StageError(
            f"--warm-start {directory}: expected a model of the same features and sizes, but {found}{more}; "
            "set them as they were, or train without --warm-start, and with --cold-start where --published chose it"
        )
    seen = why_seen(model.manifest, model.spec, dataset=dataset)
    if seen is not None:
        raise StageError(
            f"--warm-start {directory}: expected a model that has seen nothing of this dataset's test split, but "
            f"{seen}; start from another, or train without --warm-start"
        )
    return model


def carry_over(before: FinishedModel, training: TrainingStep, *, dataset: Dataset) -> tuple[int, int]:
    """Sets what a training learns to where a model's best validation left it; its steps and batches start anew.

    Args:
        before: From `open_warm_start`.
        training: Not yet started.
        dataset: What it will see.

    Returns:
        How many embedding rows the training has of the model, and how many in all.

    Raises:
        StageError: If a file of the model or of the dataset's transform can't be read.
    """
    path = checkpoint_path(before.directory, step=before.manifest.counts["best_step"])
    variables, learned = training.learned(), dict[str, npt.NDArray[Any]]()
    indices_of = cache(partial(_indices_before, before, dataset=dataset))  # for a table and each of its slots
    carried = total = 0
    features = [*dataset.features("item"), *dataset.query_inputs()]
    with of_finished():
        for name, array in unpack_each(path):  # in which defaults come before tables
            vocabulary = _vocabulary_of_row(name)
            if vocabulary is None or name not in variables:
                learned[name] = array
                continue
            rows = variables[name].numpy()  # slots of a new term are those of a new training
            indices = indices_of(vocabulary, rows=len(rows))
            if name.startswith("table/"):
                rows[:] = _default(vocabulary, features, learned=learned)
                carried += int(np.count_nonzero(indices >= 0))
                total += len(rows)
            _copy_known(array, rows, indices=indices)
            del array
            variables.pop(name).assign(rows)
            del rows  # one table, or slot, in memory at a time
        assign(variables, learned, source=path)
    return carried, total


def _copy_known(source: npt.NDArray[Any], rows: npt.NDArray[Any], *, indices: npt.NDArray[np.int64]) -> None:
    """Overwrites the rows that have an index in the source, so many at a time that little is copied beside."""
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = indices[start : start + _ROWS_AT_ONCE]
        rows[start : start + _ROWS_AT_ONCE][some >= 0] = source[some[some >= 0]]


def _indices_before(before: FinishedModel, vocabulary: str, *, dataset: Dataset, rows: int) -> npt.NDArray[np.int64]:
    """The model's row of each row's term, -1 for a new term; int64 [R]."""
    count = dataset.manifest.vocabularies.get(vocabulary)
    if count is None or vocabulary in before.spec.model.hashed_tables:  # a row is a bucket
        return np.arange(rows)
    then, now = (read_terms(of.transform_directory, vocabulary) for of in (before, dataset))
    # Behind the terms lie the buckets of unknown ones, as many as before.
    terms = index_among(now, then)[:count]
    return np.concatenate([terms, np.arange(rows - count) + before.manifest.vocabularies[vocabulary]])


def _meaning(spec: Spec) -> dict[str, Any]:
    """Key -> value of all that decides what each weight and slot is for."""
    found: dict[str, Any] = {f"model.{key}": value for key, value in spec.model.model_dump().items()}
    found |= {f"train.{key}": getattr(spec.train, key) for key in ("optimizer", "learnable_temperature")}
    found["ssl.projection_head"] = spec.ssl.projection_head
    found["session"] = spec.session is not None
    for side_name, side in spec.sides.items():
        found[f"{side_name}.features"] = list(side.features)
        for name, feature in side.features.items():
            key = f"{side_name}.features.{name}"
            found[f"{key}.kind"] = feature.kind
            found[f"{key}.vocabulary"] = vocabulary_of(f"{side_name}/{name}", feature)
            found |= {
                f"{key}.{rule}": getattr(feature, rule, None)
                for rule in ("oov_buckets", "hash_buckets", "log1p", "size")
            }
    return found


def _vocabulary_of_row(name: str) -> str | None:
    """The vocabulary that a variable of this name has a row for each term of; None if it has no such rows."""
    if name.startswith("table/"):
        return name.removeprefix("table/")
    if name.startswith("row_optimizer/"):
        return name.removeprefix("row_optimizer/").rpartition("/")[0]
    return None


def _default(
    vocabulary: str, features: Sequence[EncodedFeature], *, learned: Mapping[str, npt.NDArray[Any]]
) -> npt.NDArray[Any]:
    """Where a new term starts, [D]: the default of the item feature that has the vocabulary.

    Several have their mean. A query feature counts where no item feature has the vocabulary: its default is trained by
    missing values alone, an item's by masks too.
    """
    users = [f.key for f in features if f.vocabulary == vocabulary]
    chosen = [key for key in users if key.startswith("item/")] or users
    return np.stack([learned[f"default/{key}"] for key in chosen]).mean(axis=0, dtype=np.float32)
