"""Which items a query isn't offered when a split is ranked, or by an export."""

from features.spec.evaluate import Evaluate
from features.spec.spec import Spec


def leaves_out_self(spec: Spec, settings: Evaluate) -> bool:
    """Whether a query is no candidate of itself, where queries are items."""
    return settings.exclude_self and spec.sources.queries == "items"


def leaves_out_known(spec: Spec, settings: Evaluate) -> bool:
    """Whether a query's known items are no candidates; where they may come again they are."""
    return settings.exclude_known and not spec.split.repeat_consumption and spec.session is None
