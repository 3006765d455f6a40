"""Instants as options, keys and manifests write them."""

from datetime import UTC, datetime

from stage.errors import UsageError


def parse_instant(text: str, name: str) -> int:
    """An ISO 8601 instant as UTC microseconds; without a zone it is UTC.

    Raises:
        UsageError: If it isn't one, naming the option or key.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{name}: expected an ISO 8601 time such as 2009-07-28T00:00:00Z, got '{text}'") from None
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    delta = time - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
