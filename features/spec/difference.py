"""In which keys a spec differs from the one that an output was made under, in words."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from features.spec.digest import digested
from features.spec.file import build_spec
from features.spec.sections_read import SECTIONS_READ
from features.spec.spec import Spec
from stage.errors import UsageError
from stage.manifest import NAME, Manifest

_TOLD = 3


def spec_difference(made: Manifest, spec: Spec, *, verb: str) -> str:
    """The first keys that differ, each with both values.

    Args:
        made: The manifest of the output, whose spec has another digest.
        spec: What another run would make it under.
        verb: Makes such outputs; only keys that its result depends on are compared.
    """
    try:
        found = digested(build_spec(made.spec, source=NAME), verb)
    except UsageError:
        found = {}
    return (_first(_differences(found, digested(spec, verb))) if found else "") or "its keys are another version's"


def later_difference(dataset: Manifest, spec: Spec) -> str:
    """The first keys that differ in sections which no build reads, each with both values; empty if none do.

    Args:
        dataset: The manifest of the dataset, where later stages find them.
        spec: What another run would build it under.
    """
    try:
        found = build_spec(dataset.spec, source=NAME)
    except UsageError:  # another version's, as later stages say
        return ""
    later = {section for sections in SECTIONS_READ.values() for section in sections}
    there, here = (
        one.model_dump(mode="json", include=later.difference(SECTIONS_READ["build-dataset"])) for one in (found, spec)
    )
    return _first(_differences(there, here))


def _first(differing: Iterator[str]) -> str:
    told = list(islice(differing, _TOLD))
    left = sum(1 for _ in differing)
    return "; ".join([*told, *([f"and {left} more"] if left else [])])


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any], *, below: str = "") -> Iterator[str]:
    for name in (*wanted, *(name for name in found if name not in wanted)):
        key = f"{below}{name}"
        if name not in found or name not in wanted:
            yield f"{key} is only {'here' if name in wanted else 'there'}"
            continue
        there, here = found[name], wanted[name]
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            yield from _differences(there, here, below=f"{key}.")
        elif there != here:
            yield f"{key} is {there!r} there, {here!r} here"
