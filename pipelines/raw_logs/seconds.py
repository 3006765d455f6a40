"""Seconds as public files write them."""

from features.times import LATEST

LATEST_SECOND = LATEST // 1_000_000
"""The first since 1970 that a build doesn't take: 2200, UTC."""


def as_seconds(text: str) -> int | None:
    """Whole seconds below `LATEST_SECOND`; None of other texts, such as one of more digits than Python reads."""
    if not text.isdecimal() or len(text) > len(str(LATEST_SECOND)):
        return None
    seconds = int(text)
    return seconds if seconds < LATEST_SECOND else None
