"""What TensorFlow says went wrong, without where in its graphs."""

import re

import tensorflow as tf

_PLACES = re.compile(r"\{\{.*?\}\}|\[Op:.*")
"""Nodes, functions and operations, which an error names around its reason."""


def reason_of(error: tf.errors.OpError) -> str:
    """The reason in an error's message, one line.

    An operation by itself gives one line. A graph heads it with a traceback, whose lines are indented, and several
    failed operations are numbered.
    """
    message = str(error.message)
    numbered = re.search(r"^ *\(0\) (.*)$", message, re.MULTILINE)
    lines = [numbered[1]] if numbered else [line for line in message.splitlines() if not line[:1].isspace()]
    reasons = [reason for line in lines if (reason := _PLACES.sub("", line).strip())]
    return reasons[-1] if reasons else "no reason given"
