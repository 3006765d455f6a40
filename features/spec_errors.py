"""What pydantic finds wrong with a spec, in words that name the key."""

import json
import re
import types
import typing
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from features.spec import Spec
from features.spec_yaml import TRUTH_WORDS
from stage.errors import did_you_mean


def describe_invalid(error: ValidationError) -> str:
    """The first broken rule in one line: key, rule, value, nearest known name."""
    problems = [problem for problem in error.errors() if not _of_another_branch(problem)]
    # A misspelt key also leaves the one that was meant without a value.
    first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
    location = _keys(first["loc"])
    key = ".".join(location) or "the spec"
    if first["type"] == "extra_forbidden":
        line = f"{key}: no such key{did_you_mean(location[-1], _known_keys(first['loc'][:-1]))}"
    elif first["type"] == "missing":
        line = f"{key}: expected a value, got none"
    elif first["type"] == "union_tag_invalid":
        tag = str(first["ctx"]["tag"])
        line = f"{key}.kind: expected one of {', '.join(_KINDS)}, got '{tag}'{did_you_mean(tag, _KINDS)}"
    elif first["type"] == "union_tag_not_found":
        line = f"{key}.kind: expected one of {', '.join(_KINDS)}, got none"
    elif first["type"] == "literal_error":
        choices = [choice for one in problems if _subject(one) == _subject(first) for choice in _choices(one)]
        near = did_you_mean(str(first["input"]), choices, otherwise="")
        line = f"{key}: expected one of {', '.join(choices)}, got {_shown(first['input'])}{near}"
    elif first["type"] == "value_error":
        line = _qualify(first["msg"].removeprefix("Value error, "), first["loc"])
    elif first["type"] == "model_attributes_type" and first["input"] in _KINDS:
        line = f"{key}: expected {{kind: {first['input']}}}, got '{first['input']}'"
    else:
        line = f"{key}: {_rule(first)}, got {_shown(first['input'])}{_advice(first)}"
    others = len({_subject(problem) for problem in problems}) - 1
    more = f" (and {others} more)" if others else ""
    return f"{line}{more}"


def _subject(problem: ErrorDetails) -> tuple[str, ...]:
    """What a problem is of: the branches of a union of literals are one."""
    is_choice = problem["type"] == "literal_error"
    return (problem["type"], *(_keys(problem["loc"]) if is_choice else map(str, problem["loc"])))


def _choices(problem: ErrorDetails) -> list[str]:
    """The literals that a key, or a branch of its union, takes."""
    return [choice.strip().strip("'") for choice in str(problem["ctx"]["expected"]).replace(" or ", ", ").split(",")]


def _rule(problem: ErrorDetails) -> str:
    """What was expected; in pydantic's words where we have none."""
    kind, bounds = problem["type"], problem.get("ctx", {})
    if kind in _TYPES:
        return f"expected {_TYPES[kind]}"
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"expected {words} {bounds[bound]:.15g}"
    if kind in _LENGTHS:
        return f"expected at least {bounds['min_length']} {_LENGTHS[kind]}"
    if kind == "string_pattern_mismatch":
        pattern = bounds["pattern"]
        return f"expected {_PATTERNS.get(pattern, f'text that matches {pattern}')}"
    return problem["msg"]


def _advice(problem: ErrorDetails) -> str:
    """What to do about what YAML doesn't read as the text it may have been meant for."""
    if problem["type"] != "string_type":
        return ""
    if isinstance(problem["input"], bool):
        return f"; {TRUTH_WORDS}"
    return "; put numbers in quotes" if isinstance(problem["input"], int | float) else ""


def _shown(value: object) -> str:
    """A value as a line shows it: truth values and null as YAML has them."""
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)


def _of_another_branch(problem: ErrorDetails) -> bool:
    """Whether a problem is that sources.queries isn't what it wasn't meant to be: a table, or the word items."""
    if problem["loc"][:2] != ("sources", "queries"):
        return False
    wants_word = problem["loc"][2:] == ("literal['items']",)
    return isinstance(problem["input"], dict) if wants_word else problem["type"] == "model_type"


def _qualify(message: str, location: tuple[int | str, ...]) -> str:
    """A validator's message with the whole key: it may begin with keys of the section at the location."""
    section = ".".join(_keys(location))
    names_a_key = re.split(r"[.: ]", message)[0] in _known_keys(location)
    return f"{section}{'.' if names_a_key else ': '}{message}" if section else message


_BRANCH = re.compile(r"\bTableSource\b|^literal\[")
_TYPES = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "true or false"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a mapping, key: value"),
    "finite_number": "a finite number",
    "list_type": "a list",
    "string_type": "text",
}
"""Pydantic's type of a problem -> the type of value that it misses."""
_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_LENGTHS = {"too_short": "value", "string_too_short": "character"}
_PATTERNS = {
    r"^[a-z][a-z0-9_]*$": "a lower-case letter, then lower-case letters, digits and _",
    r"^[a-z0-9][a-z0-9_-]*$": "a lower-case letter or digit, then lower-case letters, digits, _ and -",
    r"^[\t -!#-~]$": "one character of ASCII, no double quote",
}
"""A text's pattern -> what it matches."""
_KINDS = ("id", "categorical", "multivalued", "text", "numeric")


def _keys(location: tuple[int | str, ...]) -> list[str]:
    """A location without what pydantic adds: the branch of a union, and the kind behind a feature's name."""
    kind = location.index("features") + 2 if "features" in location else None
    return [str(part) for depth, part in enumerate(location) if depth != kind and not _BRANCH.search(str(part))]


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    """Keys that the section at a location takes."""
    at: Any = Spec
    for part in location:
        at = _unalias(at)
        if isinstance(at, type) and issubclass(at, BaseModel):
            at = at.model_fields[str(part)].annotation if str(part) in at.model_fields else at
            continue
        arguments = typing.get_args(_unalias(at))
        models = [a for a in arguments if isinstance(a, type) and issubclass(a, BaseModel)]
        tagged = [
            m for m in models if "kind" in m.model_fields and part in typing.get_args(m.model_fields["kind"].annotation)
        ]
        at = tagged[0] if tagged else models[0] if models else arguments[-1] if arguments else at
    at = _unalias(at)
    if not isinstance(at, type):
        at = next((a for a in typing.get_args(at) if isinstance(a, type) and issubclass(a, BaseModel)), None)
    return list(at.model_fields) if isinstance(at, type) and issubclass(at, BaseModel) else []


def _unalias(annotation: Any) -> Any:
    """Without Annotated, and without `| None`."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    given = [argument for argument in typing.get_args(annotation) if argument is not types.NoneType]
    return given[0] if len(given) == 1 and types.NoneType in typing.get_args(annotation) else annotation
