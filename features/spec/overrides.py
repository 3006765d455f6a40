"""Overrides of a spec's keys: `--set key=value`, the value in YAML."""

import copy
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import yaml

from features.spec.sections_read import SECTIONS_READ
from features.spec.spec import Spec
from features.spec.yaml import NOTHING, load_yaml
from stage.errors import UsageError, did_you_mean


def overridden(tree: Mapping[str, Any], overrides: Sequence[str], *, verb: str | None) -> dict[str, Any]:
    """A tree of keys and values after overrides, of which the last wins.

    Args:
        tree: As a spec's file has it; stays as it is.
        overrides: `key=value` each.
        verb: If given, the overrides may change only the sections that this verb reads.

    Raises:
        UsageError: If there is no such section, the verb doesn't read it, the value isn't YAML, or the key is below a
            value or a feature that isn't there.
    """
    changed = copy.deepcopy(dict(tree))
    for override in overrides:
        _apply(changed, override, verb=verb)
    return changed


def refuse_below_values(problem: str, overrides: Sequence[str]) -> None:
    """Refuses an override of a key below one that holds a value, which the spec is the first to say.

    Args:
        problem: What breaks a rule, as `describe_invalid` has it.
        overrides: As of `overridden`.

    Raises:
        UsageError: If one of them is the reason.
    """
    found = re.match(r"(\S+): expected (.+?), got {", problem)
    below = next((override for override in overrides if found and override.startswith(f"{found[1]}.")), None)
    if found and below is not None:
        raise _below_value(below, found[1], is_list=found[2] == "a list")


def set_options(spec: Spec, verb: str) -> list[str]:
    """The sections that a verb reads as its `--set`, so that it doesn't matter what an earlier stage recorded."""
    tree = spec.model_dump(mode="json")
    # YAML would read JSON's escapes of what lies beyond 16 bits as two characters.
    told = [f"{section}={json.dumps(tree[section], ensure_ascii=False)}" for section in SECTIONS_READ[verb]]
    return [part for override in told for part in ("--set", override)]


def keys_called(name: str, sections: Sequence[str]) -> list[str]:
    """The keys of some sections that are called so, as `train.epochs`."""
    return [f"{section}.{name}" for section in sections if name in _keys_of(section)]


def _apply(tree: dict[str, Any], override: str, *, verb: str | None) -> None:
    key, _, text = override.partition("=")
    *parents, last = key.split(".")
    section = key.split(".")[0]
    if section not in Spec.model_fields:
        sections = SECTIONS_READ[verb] if verb is not None else tuple(Spec.model_fields)
        raise UsageError(f"--set {key}: no such section{_meant_by(key, sections)}")
    if verb is not None and section not in SECTIONS_READ[verb]:
        reader = next((v for v, sections in SECTIONS_READ.items() if section in sections), None)
        takes = f"give it to {reader}" if reader else "it can't be overridden"
        raise UsageError(f"--set {key}: {verb} doesn't read the section {section}; {takes}")
    try:
        value = load_yaml(text)
    except yaml.YAMLError:
        raise UsageError(f"--set {key}: expected a YAML value, got {text!r}") from None
    except UsageError as error:
        raise UsageError(f"--set {key}: {error}") from None
    if not text.strip():
        raise UsageError(f"--set {key}: {NOTHING}")
    node = tree
    for depth, parent in enumerate(parents):
        child = node.get(parent)
        if child is None:  # as a manifest has a section that nobody gave
            if parents[:depth][-1:] == ["features"] and last != "kind":
                names = ", ".join(node) or "none"
                features = ".".join(parents[:depth])
                raise UsageError(
                    f"--set {key}: {features} has no feature {parent}; it has {names}; of another one give the kind "
                    "first"
                )
            child = node[parent] = {}
        if not isinstance(child, dict):
            raise _below_value(override, ".".join(parents[: depth + 1]), is_list=isinstance(child, list))
        node = child
    node[last] = value


def _below_value(override: str, parent: str, *, is_list: bool) -> UsageError:
    key, _, text = override.partition("=")
    if is_list:
        whole = shlex.quote(f"{parent}=[{text}]")
        return UsageError(f"--set {key}: {parent} is a list, which is given whole, as in --set {whole}")
    return UsageError(f"--set {key}: {parent} is a value, not a section")


def _meant_by(key: str, sections: Sequence[str]) -> str:
    """The keys that are called so in one of the sections, else the nearest section."""
    whole = [f"'{one}'" for one in keys_called(key, sections)]
    return f"; did you mean {' or '.join(whole)}?" if whole else did_you_mean(key.split(".", maxsplit=1)[0], sections)


def _keys_of(section: str) -> set[str]:
    """The keys of a section of the spec, be it one that may be null."""
    kind = Spec.model_fields[section].annotation
    return {key for one in (kind, *get_args(kind)) for key in getattr(one, "model_fields", ())}
