"""Reading a spec: a shipped one, a YAML file or one that a manifest recorded."""

import os
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from features.spec.errors import describe_invalid
from features.spec.gate import Gate
from features.spec.overrides import overridden, refuse_below_values
from features.spec.spec import Spec
from features.spec.yaml import load_yaml
from stage import storage
from stage.errors import StageError, UsageError, did_you_mean
from stage.manifest import NAME, Manifest, versions


def shipped_names() -> list[str]:
    """Names of the specs that ship with the package."""
    return sorted(
        f.name.removesuffix(".yaml") for f in resources.files("features.specs").iterdir() if ".yaml" in f.name
    )


def path_of(name_or_path: str) -> str | None:
    """The file that `load_spec` reads; None: a shipped one."""
    return None if name_or_path in shipped_names() else name_or_path


def load_spec(name_or_path: str, overrides: Sequence[str] = (), *, verb: str | None = None) -> Spec:
    """Loads a shipped spec or a YAML file.

    Args:
        name_or_path: A shipped spec's name, or a path, local or gs://.
        overrides: `key=value` each, the value in YAML.
        verb: If given, the overrides may change only the sections that this verb reads.

    Raises:
        UsageError: If there is no such spec, it isn't YAML, a key or value breaks a rule, or an override is refused.
        StageError: If the directory that it is to lie in isn't there.
    """
    text, source = _read(name_or_path)
    try:
        tree = load_yaml(text)
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split()).replace('in "<byte string>",', "at")
        unquoted = "; in YAML a path with {date} needs quotes" if "{date}" in problem else ""
        raise UsageError(f"{source}: not YAML: {problem}{unquoted}") from None
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from None
    if not isinstance(tree, dict):
        found = "an empty file" if tree is None else "a list" if isinstance(tree, list) else "a value"
        raise UsageError(f"{source}: expected a mapping of sections, got {found}; docs/spec.md has all keys")
    return build_spec(tree, overrides, verb=verb, source=source)


def build_spec(tree: dict[str, Any], overrides: Sequence[str] = (), *, verb: str | None = None, source: str) -> Spec:
    """Validates a tree of keys and values, after overrides.

    Raises:
        UsageError: As `load_spec`.
    """
    return _validate(Spec, tree, overrides=overrides, verb=verb, source=source)


def spec_of(manifest: Manifest, directory: str, *, overrides: Sequence[str] = (), verb: str | None = None) -> Spec:
    """The spec that a dataset, model or export was made from, after overrides.

    Args:
        manifest: Its manifest.
        directory: Where it lies.
        overrides: As of `build_spec`.
        verb: As of `build_spec`.

    Raises:
        UsageError: As `load_spec`.
    """
    source = storage.join(directory, NAME)
    advice = _made_again(manifest)
    return _validate(Spec, manifest.spec, overrides=overrides, verb=verb, source=source, advice=advice)


def _made_again(manifest: Manifest) -> str:
    """What to do about a recorded spec that isn't taken: if another version wrote it, that one did."""
    wrote, own = (found.get("ssl-two-tower", "of an unknown version") for found in (manifest.versions, versions()))
    if wrote == own:
        return f"; make the {manifest.stage} again"
    return f"; ssl-two-tower {wrote} wrote it, this is {own}: use that one, or make the {manifest.stage} again"


class _GateAlone(BaseModel):
    """What is read of a spec that may be of a version with other keys."""

    gate: Gate = Gate()


def gate_of(manifest: Manifest, directory: str, *, overrides: Sequence[str], verb: str) -> Gate:
    """The section gate of the spec that an export was made from, whose other sections may have keys unknown here.

    Args:
        manifest: Its manifest.
        directory: Where it lies.
        overrides: As of `build_spec`.
        verb: As of `build_spec`.

    Raises:
        UsageError: If a key or value of the section breaks a rule, or an override is refused.
    """
    source = storage.join(directory, NAME)
    advice = _made_again(manifest)
    return _validate(_GateAlone, manifest.spec, overrides=overrides, verb=verb, source=source, advice=advice).gate


def _read(name_or_path: str) -> tuple[bytes, str]:
    if name_or_path in shipped_names():
        return resources.files("features.specs").joinpath(f"{name_or_path}.yaml").read_bytes(), name_or_path
    if "/" in name_or_path or name_or_path.endswith((".yaml", ".yml")):
        if not storage.exists(name_or_path):
            directory = os.path.dirname(name_or_path) or "."
            if "://" in name_or_path or os.path.exists(directory):
                raise UsageError(f"--spec: there is no file {name_or_path}")
            # As a disk that is mounted late: whoever tries again may find it.
            raise StageError(f"--spec: expected a YAML file {name_or_path}, the directory {directory} is not there")
        if os.path.isdir(name_or_path):
            raise UsageError(f"--spec: expected a YAML file, {name_or_path} is a directory")
        return storage.read_bytes(name_or_path), name_or_path
    near = did_you_mean(name_or_path, shipped_names())
    raise UsageError(f"--spec: expected a shipped spec or a path to a YAML file, got '{name_or_path}'{near}")


_Model = TypeVar("_Model", bound=BaseModel)


def _validate(
    model: type[_Model],
    tree: dict[str, Any],
    *,
    overrides: Sequence[str],
    verb: str | None,
    source: str,
    advice: str = "",
) -> _Model:
    changed = overridden(tree, overrides, verb=verb)
    try:
        return model.model_validate(changed)
    except ValidationError as error:
        problem = describe_invalid(error)
        refuse_below_values(problem, overrides)
        keys = [override.partition("=")[0] for override in overrides]
        if any(re.match(rf"{re.escape(key)}[.:]", problem) for key in keys):
            raise UsageError(f"--set {problem}") from None
        if keys and _takes(model, tree):
            raise UsageError(f"{source} with --set {' --set '.join(keys)}: {problem}") from None
        raise UsageError(f"{source}: {problem}{advice}") from None


def _takes(model: type[BaseModel], tree: dict[str, Any]) -> bool:
    try:
        model.model_validate(tree)
    except ValidationError:
        return False
    return True
