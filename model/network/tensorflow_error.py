"""TensorFlow's errors in one line; of memory, what NumPy and Python say too."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from stage.errors import StageError
from stage.tensorflow_message import reason_in


def reason_of(error: tf.errors.OpError) -> str:
    """The reason in an error's message, one line."""
    return reason_in(str(error.message))


def is_of_reading(error: tf.errors.OpError) -> bool:
    """Whether an error came of the files of a tf.data pipeline, or of examples in them that can't be parsed.

    Not of what a graph does with its elements, nor of the pipeline's own functions, which else read no file. Where
    another worker ended, the pipeline may be said to be cancelled too, after the reason.
    """
    first = re.split(r"^ *\(1\) ", str(error.message), maxsplit=1, flags=re.MULTILINE)[0]
    if "Error in user-defined function" in first:
        return "ParseExample" in first
    return "IteratorGetNext" in first and "Collective ops" not in first


@contextmanager
def in_memory(what: str, *, remedy: str) -> Iterator[None]:
    """Turns TensorFlow's or NumPy's complaint of too little memory into one line.

    Args:
        what: What is done with so much memory.
        remedy: What to do.

    Raises:
        StageError: If a tensor or an array can't be allocated, or a disk is full, which TensorFlow calls the same.
    """
    try:
        yield
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        reason = reason_of(error) if isinstance(error, tf.errors.OpError) else str(error) or "no reason given"
        if reason.endswith(os.strerror(errno.ENOSPC)):
            raise StageError(reason) from error
        raise StageError(f"{what}: it doesn't fit into memory ({reason}); {remedy}") from error


@contextmanager
def written_to(output: str) -> Iterator[None]:
    """Turns what is said of files that can't be written, as on a full disk, into one line.

    Args:
        output: Where they are to lie in the end.

    Raises:
        StageError: If one can't be written.
    """
    try:
        yield
    except (tf.errors.OpError, OSError) as error:
        reason = reason_of(error) if isinstance(error, tf.errors.OpError) else error.strerror
        raise StageError(f"{output}: cannot be written: {reason}") from error
