"""How many steps one call of the training's graph takes."""

from collections.abc import Iterable

_SECONDS = 0.5
"""For so long an interruption may wait."""


def steps_at_once(step: int, *, due_every: Iterable[int], due_at: Iterable[int], seconds_a_step: float) -> int:
    """As many as there are until something else is due, but not so many that an interruption would wait for them.

    Args:
        step: Those done.
        due_every: Something is due after each multiple of these.
        due_at: After these too; those not after `step` don't count.
        seconds_a_step: How long one takes; infinite if nobody knows.

    Returns:
        One at least.
    """
    until_due = min([number - step % number for number in due_every] + [end - step for end in due_at if end > step])
    return min(until_due, max(1, int(_SECONDS / seconds_a_step)))
