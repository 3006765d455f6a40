"""Job options as manifests record them, compared: a time is the instant that it names, however it is written."""

from collections.abc import Mapping

from stage.errors import UsageError
from stage.instant import parse_instant

TIMES = ("data_start", "data_end", "test_start")


def differing_options(found: Mapping[str, str | None], wanted: Mapping[str, str | None]) -> list[str]:
    """The names whose values differ, sorted; None is what isn't there."""
    return [name for name in sorted({*found, *wanted}) if _value(name, found) != _value(name, wanted)]


def _value(name: str, options: Mapping[str, str | None]) -> str | int | None:
    """A time in UTC microseconds, all else, and what can't be read as a time, as it is written."""
    text = options.get(name)
    if text is None or name not in TIMES:
        return text
    try:
        return parse_instant(text, name)
    except UsageError:
        return text
