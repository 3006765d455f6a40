"""Why a model may have been trained on pairs that a dataset's split holds out."""

import sys

from features.dataset import Dataset
from features.pseudonyms import digests_of
from features.spec.spec import Spec
from features.spec.split import Split
from features.split import SplitName, time_bounds
from model.network.finished_model import FinishedModel
from stage.instant import from_microseconds
from stage.manifest import Manifest
from stage.published import data_end_of

_KEYS = ("method", "seed", "validation", "test", "cold_items")
"""Of the section split, those that choose the pairs held out; the others thin what is trained on."""


def other_pairs_held_out(before: Split, now: Split, *, same_pseudonyms: bool) -> str | None:
    """In which keys two splits by hash hold out other pairs, in words; None if they hold out the same.

    Args:
        before: Of the model's dataset.
        now: Of the dataset whose test split it meets.
        same_pseudonyms: Whether ids have the same in both: they are hashed as they are after it.
    """
    was, is_now = before.model_dump(), now.model_dump()
    differing = [f"split.{key} was {was[key]}, is {is_now[key]}" for key in _KEYS if was[key] != is_now[key]]
    if not same_pseudonyms:
        differing.append("ids have other pseudonyms, of another key or other sources.pseudonymise.columns")
    return "; ".join(differing) or None


def why_seen(manifest: Manifest, spec: Spec, *, dataset: Dataset, split: SplitName = "test") -> str | None:
    """Why a model may have been trained on pairs of a dataset's split, in words; None if it can't have been.

    Where the split is by hash, the model's own must have held out the same pairs. Where it is by time, what the model
    knows must end before: its data, or what came before its own test split. Its validation counts as known: it chose
    the weights, and a model that this one started from may have been trained on it.

    Args:
        manifest: The model's, or its export's.
        spec: The one in it.
        dataset: The dataset.
        split: Which of its splits.
    """
    bounds = time_bounds(dataset.spec.split, dataset.manifest.job_options.get("test_start"))
    if bounds is None:
        same_pseudonyms = digests_of(manifest) == digests_of(dataset.manifest)
        return other_pairs_held_out(spec.split, dataset.spec.split, same_pseudonyms=same_pseudonyms)
    own = time_bounds(spec.split, manifest.job_options.get("test_start"))
    known = (data_end_of(manifest), None if own is None else own.test_start)
    end = min((instant for instant in known if instant is not None), default=None)
    if end is None:
        return "it doesn't say where its data ends"
    begin = bounds.validation_start if split == "validation" else bounds.test_start
    if end <= begin:
        return None
    until, begins = (from_microseconds(instant).isoformat() for instant in (end, begin))
    return f"what it was trained on ends {until}, and the {split} split begins {begins}"


def warn_if_seen(model: FinishedModel, *, dataset: Dataset, split: SplitName) -> str | None:
    """Says on stderr if a model of another dataset may have been trained on pairs of this one's split.

    Args:
        model: The model.
        dataset: The dataset.
        split: Which of its splits the model is to rank.

    Returns:
        Why it may, in words; None if it can't have been.

    Raises:
        StageError: If the model's spec can't be read.
    """
    if model.manifest.inputs.get("dataset") == dataset.manifest.content_digest:
        return None
    why = why_seen(model.manifest, model.spec, dataset=dataset, split=split)
    if why is not None:
        print(
            f"warning: {model.directory} is of another dataset than {dataset.directory} and may have been trained on "
            f"pairs of its {split} split, so that its figures are too good: {why}",
            file=sys.stderr,
        )
    return why
