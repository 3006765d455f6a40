"""Which key of the spec names a column, for errors about it."""

from collections.abc import Mapping

from features.spec_features import Side
from features.spec_sources import InteractionSource, TableSource
from pipelines.aggregation.absent_columns import optional_log_columns, optional_table_columns

EVENT = "sources.interactions.event"
"""The key of the event's column."""
_OF_EVERY_LOG = ("query_id", "item_id", "event", "timestamp")


def required_log_columns(source: InteractionSource) -> dict[str, str]:
    """Key of the spec -> the column that it names, of those that every file of a log must have."""
    named = {f"sources.interactions.{key}": getattr(source, key) for key in _OF_EVERY_LOG}
    return {key: column for key, column in named.items() if column is not None}


def keys_of_log(source: InteractionSource, context: Side) -> dict[str, str]:
    """Column of a log -> the first key of the spec that names it."""
    return _by_column(required_log_columns(source) | optional_log_columns(source, context))


def keys_of_table(name: str, source: TableSource, *, sides: Mapping[str, Side]) -> dict[str, str]:
    """Column of a table -> the first key of the spec that names it."""
    return _by_column({f"sources.{name}.id": source.id} | optional_table_columns(name, source, sides=sides))


def _by_column(named: dict[str, str]) -> dict[str, str]:
    return {column: key for key, column in reversed(named.items())}
