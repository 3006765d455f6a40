"""What an output is made from, where a spec is part of it."""

from dataclasses import replace
from functools import partial

from features.pseudonyms import digests_of
from features.spec.difference import spec_difference
from features.spec.digest import spec_digest
from features.spec.spec import Spec
from stage.manifest import MadeFrom, Manifest

_MAKE_NO_OTHER_EXAMPLES = ("aggregate", "schema", "baseline")
"""Inputs of a dataset: an aggregate of its raw logs, and what it was held to."""


def made_under(spec: Spec, verb: str, *, inputs: dict[str, str], job_options: dict[str, str | None]) -> MadeFrom:
    """What a verb makes an output from, which names the keys in which the spec of another one differs."""
    spec_differs = partial(spec_difference, spec=spec, verb=verb)
    return MadeFrom(spec_digest(spec, verb), inputs, job_options=job_options, spec_differs=spec_differs)


def dataset_done_from(made_from: MadeFrom, found: Manifest) -> MadeFrom:
    """What a dataset is to be made from, and what a finished one was made from besides that makes no other examples.

    Of an aggregate, a schema or a baseline that a command names, the dataset must have been made from the same.
    """
    besides = {name: digest for name, digest in found.inputs.items() if name in _MAKE_NO_OTHER_EXAMPLES}
    return replace(made_from, inputs=besides | made_from.inputs)


def model_made_from(spec: Spec, dataset: Manifest, *, warm_start: str | None = None) -> MadeFrom:
    """What a model is made from.

    Args:
        spec: The whole spec.
        dataset: The dataset's manifest.
        warm_start: Content digest of the model that the training starts from, if any.
    """
    inputs = {"dataset": dataset.content_digest, **digests_of(dataset)}
    if warm_start is not None:
        inputs["warm_start"] = warm_start
    return made_under(spec, "train", inputs=inputs, job_options=dataset.job_options)
