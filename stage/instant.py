"""Instants as options, keys and manifests write them."""

import re
from datetime import UTC, datetime, timedelta

from stage.errors import UsageError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PART_OF_HOUR_OR_MINUTE = re.compile(r"[^\d:]\d\d(:?\d\d)?[.,]")
_MINUTES_OF_AN_HOUR = re.compile(r"[+-]\d\d:?[6-9]\d")


def from_iso(text: str) -> datetime:
    """A time in ISO 8601.

    Raises:
        ValueError: If it isn't one; or if an hour or minute has decimals, which Python takes for those of a second, or
            a zone 60 minutes or more, which it adds up.
    """
    time = datetime.fromisoformat(text)
    if _PART_OF_HOUR_OR_MINUTE.search(text):
        raise ValueError(f"expected seconds before a decimal point, got {text}")
    if _MINUTES_OF_AN_HOUR.search(text):
        raise ValueError(f"expected a zone such as +05:45, got {text}")
    return time


def parse_instant(text: str, name: str) -> int:
    """An ISO 8601 instant as UTC microseconds; without a zone it is UTC.

    Raises:
        UsageError: If it isn't one, or of no year from 1 to 9999 in UTC, naming the option or key.
    """
    try:
        time = from_iso(text)
        return to_microseconds(time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC))
    except (ValueError, OverflowError):
        raise UsageError(f"{name}: expected an ISO 8601 time such as 2009-07-28T00:00:00Z, got '{text}'") from None


def to_microseconds(time: datetime) -> int:
    """A time with a zone as UTC microseconds."""
    return (time - _EPOCH) // _MICROSECOND


def from_microseconds(instant: int) -> datetime:
    """UTC microseconds as a time in UTC."""
    return _EPOCH + instant * _MICROSECOND
