"""The histories that queries of session mode are asked with."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from features.spec.spec import Spec
from model.serving.raw_entities import Entity, as_list_of_texts, one_of
from model.serving.raw_inputs import RAW_HISTORY
from stage.errors import UsageError

AreRead: TypeAlias = Callable[[Sequence[Sequence[str]]], list[bool]]
"""Of each list of ids, whether the model reads any."""

_IDS_SHOWN = 3


def check_histories(asked: Sequence[str | Entity], queries: Sequence[Entity], *, spec: Spec, are_read: AreRead) -> None:
    """Refuses queries without a history where training had none: all of them would get the same items.

    Args:
        asked: Each query as it was asked for, by id or features.
        queries: Their features, which the spec has.
        spec: The export's.
        are_read: Which histories the model can read.

    Raises:
        UsageError: If a history is missing or empty, or all that the model would read of it is unknown.
    """
    found = have_histories(queries, spec=spec, are_read=are_read)
    for place, (ask, query, has) in enumerate(zip(asked, queries, found, strict=True)):
        if spec.session is None or has:
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
            f"{one_of('query', place, of=len(asked))}: history: expected ids of items of this export, {needed}, "
            f'got {got}; pass "history": [...], the latest last'
        )


def have_histories(queries: Sequence[Entity], *, spec: Spec, are_read: AreRead) -> list[bool]:
    """Whether each query's history is one that training may have had; true outside session mode."""
    if spec.session is None or spec.session.min_history == 0:
        return [True] * len(queries)
    return are_read([_read_of(query, spec) for query in queries])


def _read_of(query: Entity, spec: Spec) -> list[str]:
    """What the model may read of a history: unknown ids among the latest take places, unless all items are known."""
    history = history_of(query)
    if spec.session is None or spec.histories_know_all_items:
        return history
    return history[-spec.session.max_history :]


def history_of(query: Entity) -> list[str]:
    """Ids, the latest last; none of what is no list of ids."""
    return [one for one in as_list_of_texts(query.get(RAW_HISTORY)) or [] if one]
