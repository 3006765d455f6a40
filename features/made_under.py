"""What an output is made from, where a spec is part of it."""

from functools import partial

from features.pseudonyms import digests_of
from features.spec.difference import spec_difference
from features.spec.digest import spec_digest
from features.spec.spec import Spec
from stage.manifest import MadeFrom, Manifest


def made_under(spec: Spec, verb: str, *, inputs: dict[str, str], job_options: dict[str, str | None]) -> MadeFrom:
    """What a verb makes an output from, which names the keys in which the spec of another one differs."""
    spec_differs = partial(spec_difference, spec=spec, verb=verb)
    return MadeFrom(spec_digest(spec, verb), inputs, job_options=job_options, spec_differs=spec_differs)


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
