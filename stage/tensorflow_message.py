"""What a message of TensorFlow says went wrong, without where in its graphs."""

import re

_PLACES = re.compile(
    r"\{\{.*?\}\}|\[Op:.*|Error in user-defined function passed to \S+ transformation with iterator: \S+: "
)
"""Nodes, functions, operations and pipelines, which an error names around its reason."""
_TOLD = re.compile(r"(?:^ *\(0\) |Collective ops is aborted by: )(.*?):?$", re.MULTILINE)
"""The reason, where lines that say less come after it."""


def reason_in(message: str) -> str:
    """The reason in an error's message, one line.

    An operation by itself gives one line. A graph heads it with a traceback, whose lines are indented, several failed
    operations are numbered, and what the end of another worker aborts is followed by advice.
    """
    told = _TOLD.search(message)
    lines = [line for line in message.splitlines() if not line[:1].isspace() and not line.startswith("Hint: ")]
    lines = [told[1]] if told else lines
    reasons = [reason for line in lines if (reason := _PLACES.sub("", line).strip())]
    return reasons[-1] if reasons else "no reason given"
