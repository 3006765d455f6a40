"""Which queries of session mode are refused for their history."""

from collections.abc import Sequence
from typing import Any

import pytest
from small_specs import small_spec

from model.serving.asked_histories import check_histories
from stage.errors import UsageError


def check(asked: Any, features: Any, *, min_count: int = 0, **session: Any) -> None:
    known, item = {"a51", "7"}, {"song": {"kind": "id", "min_count": min_count}}
    spec = small_spec(log={"timestamp": "at"}, item=item, split={"method": "query_hash"}, session=session)

    def are_read(histories: Sequence[Sequence[str]]) -> list[bool]:
        return [not known.isdisjoint(history) for history in histories]

    check_histories([asked], [features], spec=spec, are_read=are_read)


@pytest.mark.parametrize(
    ("asked", "features", "message"),
    [
        (
            "u1024",
            {"country": "y"},
            "query 'u1024': expected a history, since every training example has one (session.min_history: 1), got "
            """none; pass --history, or in Python {**export.query('u1024'), "history": [...]}""",
        ),
        *(
            (
                features,
                features,
                "query: history: expected ids of items of this export, since every training example has one "
                f'(session.min_history: 1), got {got}; pass "history": [...], the latest last',
            )
            for features, got in (
                ({}, "none"),
                ({"history": None}, "none"),
                ({"history": []}, "none"),
                ({"history": [None, ""]}, "none"),
                ({"history": ["nope"]}, "only unknown ones: nope"),
                ({"history": ["a", "b", "c", "d"]}, "only unknown ones: a, b, c, ..."),
            )
        ),
    ],
)
def test_a_query_without_a_known_history_is_refused(asked: Any, features: Any, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        check(asked, features)
    assert str(refused.value) == message
    check(asked, features, min_history=0)


def test_of_several_queries_the_one_without_is_named() -> None:
    spec = small_spec(log={"timestamp": "at"}, item={"song": "id"}, split={"method": "query_hash"}, session={})
    asked = [{"history": ["a51"]}, {}]
    with pytest.raises(UsageError, match=r"^query 2 of 2: history: expected ids .* got none; pass"):
        check_histories(asked, asked, spec=spec, are_read=lambda histories: list(map(bool, histories)))


def test_a_known_item_among_the_latest_is_a_history() -> None:
    check({}, {"history": ["a51", "nope"]})
    check({}, {"history": [7]})
    check({}, {"history": ["a51", "nope", "nope"]}, max_history=2)
    # Where unknown ones take places, the known one is none of the latest two.
    with pytest.raises(UsageError, match="got only unknown ones: nope, nope;"):
        check({}, {"history": ["a51", "nope", "nope"]}, min_count=1, max_history=2)
