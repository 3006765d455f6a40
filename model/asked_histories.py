"""The histories that queries of session mode are asked with."""

from collections.abc import Callable, Sequence

from features.spec import Spec
from model.raw_entities import Entity, as_list_of_texts
from model.raw_inputs import RAW_HISTORY
from model.session_history import knows_all_items
from stage.errors import UsageError

_IDS_SHOWN = 3


def check_histories(
    asked: Sequence[str | Entity], queries: Sequence[Entity], *, spec: Spec, is_item: Callable[[str], bool]
) -> None:
    """Refuses queries without a history where training had none: all of them would get the same items.

    Args:
        asked: Each query as it was asked for, by id or features.
        queries: Their features, which the spec has.
        spec: The export's.
        is_item: Whether an id is one of the export's items.

    Raises:
        UsageError: If a history is missing or empty, or all that the model would read of it is unknown.
    """
    for ask, query in zip(asked, queries, strict=True):
        if spec.session is None or has_history(query, spec=spec, is_item=is_item):
            continue
        needed = f"since every training example has one (session.min_history: {spec.session.min_history})"
        history = _read_of(query, spec)
        if isinstance(ask, str):
            raise UsageError(
                f"query '{ask}': expected a history, {needed}, got none; pass --history, or in Python "
                f'{{**export.query({ask!r}), "history": [...]}}'
            )
        more = ", ..." if len(history) > _IDS_SHOWN else ""
        got = f"only unknown ones: {', '.join(history[:_IDS_SHOWN])}{more}" if history else "none"
        raise UsageError(
            f'query: history: expected ids of items of this export, {needed}, got {got}; pass "history": [...], the '
            "latest last"
        )


def has_history(query: Entity, *, spec: Spec, is_item: Callable[[str], bool]) -> bool:
    """Whether a query's history is one that training may have had; true outside session mode."""
    if spec.session is None or spec.session.min_history == 0:
        return True
    return any(is_item(one) for one in _read_of(query, spec))


def _read_of(query: Entity, spec: Spec) -> list[str]:
    """What the model may read of a history: unknown ids among the latest take places, unless all items are known."""
    history = history_of(query)
    if spec.session is None or knows_all_items(spec):
        return history
    return history[-spec.session.max_history :]


def history_of(query: Entity) -> list[str]:
    """Ids, the latest last; none of what is no list of ids."""
    return [one for one in as_list_of_texts(query.get(RAW_HISTORY)) or [] if one]
