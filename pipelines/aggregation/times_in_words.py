"""How a log's times are to be written by its spec, in words, and which keys of the spec say so."""

from collections.abc import Mapping

from features.parsing.parsed_lines import wrong_type
from features.spec.sources import InteractionSource

_UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds"}


def expected_times(source: InteractionSource) -> str:
    """The times that a log's spec expects, with the keys that say so."""
    keys = f"sources.interactions.timestamp_unit: {source.timestamp_unit}"
    if source.timestamp_unit != "iso":
        return f"{_UNITS[source.timestamp_unit]} since 1970 as numbers ({keys}; texts are iso)"
    return f"ISO 8601 ({keys})" if source.timezone else f"ISO 8601 with a zone ({keys}, timezone: null)"


def cure_of_times(rejected: Mapping[str, int], source: InteractionSource) -> str | None:
    """What settles times of another shape than the spec says, if most of a log's bad lines have such; else None.

    Args:
        rejected: Reason -> lines of the log.
        source: How the log is written.
    """
    if source.timestamp is None:
        return None
    of_times = {reason: rejected.get(reason, 0) for reason in ("bad_timestamp", wrong_type(source.timestamp))}
    if 2 * sum(of_times.values()) <= sum(rejected.values()):
        return None
    reason = max(of_times, key=lambda name: of_times[name])
    return f"{reason}: the spec expects {expected_times(source)} in the column {source.timestamp}; {_keys(source)}"


def compare_units(source: InteractionSource) -> str:
    """What to do about lines that all lie outside of the window."""
    return f"compare the unit of their times with sources.interactions.timestamp_unit ({source.timestamp_unit})"


def _keys(source: InteractionSource) -> str:
    if source.timestamp_unit != "iso":
        return "name another unit there"
    zone = "" if source.timezone else "the zone of times without one in sources.interactions.timezone, or "
    return (
        f"name {zone}the unit of numbers in timestamp_unit; other spellings, such as a zone's name behind the time, "
        "must be rewritten"
    )
