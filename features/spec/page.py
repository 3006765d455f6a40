"""docs/spec.md: every key of the spec, for readers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features.spec.evaluate import Evaluate
from features.spec.export import Export
from features.spec.features import (
    CategoricalFeature,
    IdFeature,
    MultivaluedFeature,
    NumericFeature,
    Side,
    TextFeature,
    VectorFeature,
)
from features.spec.gate import Gate
from features.spec.section import Section
from features.spec.session import Session
from features.spec.sources import InteractionSource, Pseudonymise, Sources, TableSource
from features.spec.spec import Spec
from features.spec.split import Split
from features.spec.statistics import MutualInformation, Statistics
from features.spec.training import HashedTable, Model, Ssl, Train

PATH = Path(__file__).parents[2] / "docs" / "spec.md"

_SECTIONS: tuple[tuple[str, type[Section]], ...] = (
    ("The whole", Spec),
    ("sources", Sources),
    ("sources.interactions", InteractionSource),
    ("sources.items, and sources.queries where it is a table", TableSource),
    ("sources.pseudonymise", Pseudonymise),
    ("query, item and session.context", Side),
    ("A feature of kind id", IdFeature),
    ("A feature of kind categorical", CategoricalFeature),
    ("A feature of kind multivalued", MultivaluedFeature),
    ("A feature of kind text", TextFeature),
    ("A feature of kind numeric", NumericFeature),
    ("A feature of kind vector", VectorFeature),
    ("split", Split),
    ("session", Session),
    ("mutual_information", MutualInformation),
    ("statistics", Statistics),
    ("model", Model),
    ("model.hashed_tables.VOCABULARY", HashedTable),
    ("ssl", Ssl),
    ("train", Train),
    ("evaluate", Evaluate),
    ("export", Export),
    ("gate", Gate),
)
_HEAD = """\
# The spec's keys

Written by `make schema`. [README](../README.md#your-own-data) has a first spec, and `features/specs/` commented ones.
"""


def page_text() -> str:
    """What the page holds."""
    return "\n".join([_HEAD, *(_section(heading, model) for heading, model in _SECTIONS)])


def _section(heading: str, model: type[Section]) -> str:
    schema = model.model_json_schema()
    rows = [_row(key, found, sections=schema.get("$defs", {})) for key, found in schema["properties"].items()]
    return "\n".join(
        [
            f"## {heading}",
            "",
            schema["description"],
            "",
            "| key | value | default | |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _row(key: str, found: Mapping[str, Any], *, sections: Mapping[str, Any]) -> str:
    section = sections.get(found.get("$ref", "").rpartition("/")[2], {})
    about = found.get("description") or section.get("description", "")
    cells = (f"`{key}`", _values(found), _default(found), about.partition("\n\n")[0])
    return f"| {' | '.join(' '.join(cell.split()) for cell in cells)} |"


def _values(found: Mapping[str, Any]) -> str:
    """The values that a key takes, in words."""
    if "anyOf" in found:
        return " or ".join(_values(one) for one in found["anyOf"])
    if "const" in found or "enum" in found:
        return ", ".join(f"`{value}`" for value in found.get("enum", [found.get("const")]))
    if "$ref" in found:
        return "section"
    kind = found["type"]
    if kind == "array":
        return f"list of {_values(found['items'])}"
    if kind == "object":
        return "mapping"
    return " ".join([_KINDS[kind], *_bounds(found)])


_KINDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true`, `false`",
    "null": "`null`",
}


def _bounds(found: Mapping[str, Any]) -> list[str]:
    bounds = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    return [f"{sign} {found[bound]:.15g}" for bound, sign in bounds.items() if bound in found]


def _default(found: Mapping[str, Any]) -> str:
    """Of a section nothing: its own keys have defaults."""
    if "default" not in found:
        return "required"
    default = found["default"]
    if isinstance(default, dict) and default:
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"
