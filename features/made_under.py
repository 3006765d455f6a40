"""What an output is made from, where a spec is part of it."""

from functools import partial

from features.spec import Spec
from features.spec_difference import spec_difference
from features.spec_digest import spec_digest
from stage.manifest import MadeFrom


def made_under(spec: Spec, verb: str, *, inputs: dict[str, str], job_options: dict[str, str | None]) -> MadeFrom:
    """What a verb makes an output from, which names the keys in which the spec of another one differs."""
    spec_differs = partial(spec_difference, spec=spec, verb=verb)
    return MadeFrom(spec_digest(spec, verb), inputs, job_options=job_options, spec_differs=spec_differs)
