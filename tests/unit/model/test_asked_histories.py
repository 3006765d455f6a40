"""Which queries of session mode are refused for their history."""

from typing import Any

import pytest

from features.spec import Spec
from model.asked_histories import check_histories
from stage.errors import UsageError


def spec_of_histories(session: Any) -> Spec:
    tree = {
        "name": "listening",
        "sources": {
            "interactions": {"path": "log", "query_id": "who", "item_id": "what", "timestamp": "when"},
            "items": {"path": "items"},
        },
        "query": {},
        "item": {"features": {"song": {"kind": "id"}}},
        "session": session,
        "split": {"method": "query_hash"},
    }
    return Spec.model_validate(tree)


def check(asked: Any, features: Any, **session: Any) -> None:
    known = {"a51", "7"}
    check_histories([asked], [features], spec=spec_of_histories(session), is_item=known.__contains__)


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


def test_a_known_item_among_the_latest_is_a_history() -> None:
    check({}, {"history": ["a51", "nope"]})
    check({}, {"history": [7]})
    with pytest.raises(UsageError, match="got only unknown ones: a51, nope, nope"):
        check({}, {"history": ["a51", "nope", "nope"]}, max_history=2)
