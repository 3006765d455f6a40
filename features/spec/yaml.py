"""YAML as a spec has it: a value is text, null or nothing, and the key it stands for says what the text means.

So a time, 010 or off needs no quotes where text is meant, and is no other number or truth value than is written.
"""

import re
from collections.abc import Hashable
from typing import Any

import yaml

from stage.errors import UsageError

NOTHING = "expected a value, found nothing: give it one, {} for a section's defaults, or null where none is meant"
_TAG = "tag:yaml.org,2002:"


def load_yaml(text: str | bytes) -> Any:
    """What a YAML document, or a value of one, holds; what an alias or << stands for is there once more, not shared.

    Raises:
        YAMLError: If it isn't YAML.
        UsageError: If nothing stands behind a key.
    """
    try:
        return _unshared(yaml.load(text, _Loader))
    except RecursionError:
        raise yaml.YAMLError("lists or mappings lie too deep in others") from None


def _unshared(tree: Any) -> Any:
    """A copy in which nothing is in two places, so that an override changes the one that it names."""
    if isinstance(tree, dict):
        return {key: _unshared(value) for key, value in tree.items()}
    return [_unshared(value) for value in tree] if isinstance(tree, list) else tree


class _Loader(yaml.SafeLoader):
    """No key may stand twice, or without a value: to YAML that is null, which switches off what the key names."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """As the base class, which takes a node that holds itself, and has other errors for a value unlike its tag."""
        del deep
        try:
            return super().construct_object(node, deep=True)
        except (ValueError, LookupError, AttributeError):
            raise yaml.MarkedYAMLError(problem=f"the value is no {node.tag}", problem_mark=node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """As the base class, which lets the last of equal keys win.

        Raises:
            UsageError: If nothing stands behind a key.
        """
        for key, value in node.value:
            if value.tag == f"{_TAG}null" and not value.value:
                raise UsageError(f"line {key.start_mark.line + 1}: {key.value}: {NOTHING}")
        keys = [key.value for key, _ in node.value if key.tag != f"{_TAG}merge"]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(
                    f"the key {key} stands twice, in the mapping that starts at line {node.start_mark.line + 1}"
                )
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver(f"{_TAG}null", re.compile("(~|null)?$"), ["~", "n", ""])
_Loader.add_implicit_resolver(f"{_TAG}merge", re.compile("<<$"), ["<"])
