"""What pydantic finds wrong with a spec, in words that name the key."""

import json
import re

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from stage.errors import did_you_mean


def describe_invalid(error: ValidationError) -> str:
    """The first broken rule in one line: key, rule, value, nearest known name."""
    problems = [problem for problem in error.errors() if not _of_another_branch(problem)]
    others = len(problems) - 1
    return f"{_line(problems[0])}{f' (and {others} more)' if others else ''}"


def _line(problem: ErrorDetails) -> str:
    """A problem in one line."""
    kind, location = problem["type"], _keys(problem["loc"])
    key = ".".join(location) or "the spec"
    if kind == "missing":
        return f"{key}: expected a value, got none"
    if kind == "union_tag_invalid":
        tag = str(problem["ctx"]["tag"])
        return f"{key}.kind: expected one of {', '.join(_KINDS)}, got '{tag}'{did_you_mean(tag, _KINDS)}"
    if kind == "union_tag_not_found":
        return f"{key}.kind: expected one of {', '.join(_KINDS)}, got none"
    if kind == "literal_error":
        choices = [choice.strip("'") for choice in re.split(", | or ", problem["ctx"]["expected"])]
        near = did_you_mean(str(problem["input"]), choices, otherwise="")
        return f"{key}: expected one of {', '.join(choices)}, got {_shown(problem['input'])}{near}"
    if kind == "value_error":
        return _qualify(problem["msg"].removeprefix("Value error, "), problem["loc"])
    if kind == "model_attributes_type" and problem["input"] in _KINDS:
        return f"{key}: expected {{kind: {problem['input']}}}, got '{problem['input']}'"
    return f"{key}: {_rule(problem)}, got {_shown(problem['input'])}{_advice(problem)}"


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
    """What to do about a feature called as a column."""
    if problem["loc"][-1:] == ("[key]",) and "features" in problem["loc"]:
        return f"; a column that is called so is named by column: {problem['input']}"
    return ""


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
    """A validator's message with the whole key; it begins with keys of the section at the location, or `expected`."""
    section = ".".join(_keys(location))
    return f"{section}{': ' if message.startswith('expected') else '.'}{message}" if section else message


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
    r"^[\t -!#-~]$": 'one character of ASCII, no double quote (a tab is "\\t" in double quotes)',
}
"""A text's pattern -> what it matches."""
_KINDS = ("id", "categorical", "multivalued", "text", "numeric", "vector")


def _keys(location: tuple[int | str, ...]) -> list[str]:
    """A location without what pydantic adds: the branch of a union, and the kind behind a feature's name."""
    kind = location.index("features") + 2 if "features" in location else None
    return [str(part) for depth, part in enumerate(location) if depth != kind and not _BRANCH.search(str(part))]
