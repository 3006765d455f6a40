"""The section `session` of the spec."""

from typing import Annotated

from pydantic import Field, model_validator

from features.spec.features import Side
from features.spec.section import Count, Positive, Seconds, Section


class Session(Section):
    """Session mode: a query is a user, and each of its lines an example: what was before -> the item that came next.

    Histories are made of the lines that are kept: positive, in the window of --data-start, their item known.
    """

    max_history: Annotated[int, Field(ge=1, le=1000)] = 50
    """Items of a history, the latest ones."""
    min_history: Count = 1
    """Lines with a shorter history make no example."""
    gap: Seconds | None = None
    """Seconds without a line that end a session; a history doesn't reach beyond its session. null: none do."""
    window: Seconds | None = None
    """Seconds that a history reaches back; null: to the user's first line."""
    max_lines: Positive = 100_000
    """Positive lines of a user in the window that are read, the latest ones, those with an unknown item and duplicates
    among them; earlier ones are filtered. So no user, such as a bot, makes a worker hold many."""
    context: Side = Side()
    """What a line of the log says beside user, item and time (device, hour, referrer), which the query tower reads with
    the history. Columns are those of the log; kinds all but id and vector, without hash_buckets and oov_buckets."""

    @model_validator(mode="after")
    def _history_can_be_so_long(self) -> "Session":
        if self.min_history > self.max_history:
            raise ValueError(f"min_history: expected at most max_history ({self.max_history}), got {self.min_history}")
        return self

    @model_validator(mode="after")
    def _context_is_encoded_by_vocabularies(self) -> "Session":
        for name, feature in self.context.features.items():
            key = f"context.features.{name}"
            if name in ("query_id", "history", "latest", "history_length", "split", "count", "first", "last"):
                raise ValueError(f"{key}: this name is reserved for the dataset's own columns; choose another")
            if feature.kind in ("id", "vector"):
                raise ValueError(f"{key}.kind: expected categorical, multivalued, text or numeric, got {feature.kind}")
            for buckets in ("hash_buckets", "oov_buckets"):
                if getattr(feature, buckets, None):
                    raise ValueError(f"{key}.{buckets}: expected none, since context has them by its vocabulary alone")
        return self
