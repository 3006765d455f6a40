"""YAML as a spec has it: what YAML 1.1 would silently read as something else is refused."""

import re
from collections.abc import Hashable
from typing import Any

import yaml

from stage.errors import UsageError

NOTHING = "expected a value, found nothing: give it one, {} for a section's defaults, or null where none is meant"
TRUTH_WORDS = "YAML reads on, off, yes and no as truth values: put text in quotes"
_TAG = "tag:yaml.org,2002:"
_OF_ANOTHER_BASE = {f"{_TAG}int": re.compile(r"[-+]?0[0-9_]+$|.*:"), f"{_TAG}float": re.compile(r".*:")}
"""Tag of a number -> numbers by 8, as 010, or by 60, as 1:00:00."""


def load_yaml(text: str | bytes) -> Any:
    """What a YAML document, or a value of one, holds.

    Raises:
        YAMLError: If it isn't YAML.
        UsageError: If nothing stands behind a key, or YAML reads something else than is written.
    """
    try:
        return yaml.load(text, _Loader)
    except RecursionError:
        raise yaml.YAMLError("lists or mappings lie too deep in others") from None


class _Loader(yaml.SafeLoader):
    """YAML in which a time is text, as it is in the spec, and so needs no quotes.

    No key may stand twice, or without a value: to YAML that is null, which switches off what the key names.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """As the base class, which takes a node that holds itself, and has other errors for a value unlike its tag.

        Raises:
            UsageError: If a number is written so that YAML reads another one.
        """
        del deep
        try:
            value = super().construct_object(node, deep=True)
        except (ValueError, LookupError, AttributeError):
            raise yaml.MarkedYAMLError(problem=f"the value is no {node.tag}", problem_mark=node.start_mark) from None
        if node.tag in _OF_ANOTHER_BASE and _OF_ANOTHER_BASE[node.tag].match(node.value):
            raise UsageError(
                f"line {node.start_mark.line + 1}: YAML reads {node.value} as {value}; write {value}, or put "
                f"{node.value} in quotes if it is text"
            )
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """As the base class, which lets the last of equal keys win.

        Raises:
            UsageError: If nothing stands behind a key, or a key is a truth value.
        """
        for key, value in node.value:
            if key.tag == f"{_TAG}bool":
                raise UsageError(
                    f"line {key.start_mark.line + 1}: {key.value}: expected a key, got a truth value; {TRUTH_WORDS}"
                )
            if value.tag == f"{_TAG}null" and not value.value:
                raise UsageError(f"line {key.start_mark.line + 1}: {key.value}: {NOTHING}")
        keys = [key.value for key, _ in node.value if key.tag != f"{_TAG}merge"]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(
                    f"the key {key} stands twice, in the mapping that starts at line {node.start_mark.line + 1}"
                )
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != f"{_TAG}timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
