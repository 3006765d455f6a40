"""The error of a training that came to nothing."""

from stage.errors import StageError


class Diverged(StageError):  # noqa: N818  (what happened, in a word)
    """A training came to numbers that aren't finite, or to losses that no healthy one has.

    Its settings don't work, while everything else does.
    """
