"""What a spec with a section session must and may not say."""

import pytest

from features.spec.file import build_spec, load_spec
from stage.errors import UsageError

LISTENING = {
    "name": "listening",
    "sources": {
        "interactions": {"path": "log", "query_id": "who", "item_id": "what", "timestamp": "when"},
        "items": {"path": "items"},
    },
    "query": {},
    "item": {"features": {"song": {"kind": "id"}, "genre": {"kind": "categorical"}}},
    "session": {},
    "split": {"method": "query_hash"},
}
SHARED = {"kind": "id", "vocabulary": "item_song"}


def context(**features):
    return {"session": {"context": {"features": features}}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": {"method": "pair_hash"}}, "split.method: expected query_hash or time with a section session"),
        ({"split": {"method": "query_hash", "cold_items": 0.1}}, "split.cold_items: expected 0 with a section session"),
        ({"session": None}, "query.features: expected at least one, unless"),
        ({"session": {"context": ["device"]}}, "session.context: "),
        (
            context(device={"kind": "id"}),
            "session.context.features.device.kind: expected categorical, multivalued, text",
        ),
        (
            context(device={"kind": "vector", "size": 3}),
            "session.context.features.device.kind: expected categorical, multivalued, text or numeric, got vector",
        ),
        (
            context(device={"kind": "categorial"}),
            "session.context.features.device.kind: expected one of id, categorical",
        ),
        (
            context(device={"kind": "numeric", "log1": True}),
            "session.context.features.device.log1: no such key; did you",
        ),
        (
            context(search={"kind": "text", "hash_buckets": 9}),
            "session.context.features.search.hash_buckets: expected none",
        ),
        (
            context(on={"kind": "categorical", "oov_buckets": 1}),
            "session.context.features.on.oov_buckets: expected none",
        ),
        (
            context(what={"kind": "categorical"}),
            "session.context.features.what: expected a column of its own, got what",
        ),
        (context(at={"kind": "numeric", "column": "when"}), "which is sources.interactions.timestamp"),
        (context(count={"kind": "numeric"}), "session.context.features.count: this name is reserved"),
        (context(query_id={"kind": "categorical"}), "session.context.features.query_id: this name is reserved"),
        (
            context(on={"kind": "text"}, off={"kind": "numeric", "column": "on"}),
            "session.context.features.off: expected text, as session.context.features.on reads the same column, got "
            "a number",
        ),
        (
            context(genre={"kind": "categorical", "vocabulary": "item_song"})
            | {"item": {"features": {"song": SHARED}}},
            "session.context.features.genre: shares the vocabulary item_song with item.features.song",
        ),
        ({"session": {"min_history": 9, "max_history": 8}}, "min_history: expected at most max_history (8), got 9"),
        ({"item": {"features": {"genre": {"kind": "categorical"}}}}, "item.features: expected one of kind id"),
        ({"item": {"features": {"song": {"kind": "id", "oov_buckets": 1}}}}, "item.features: expected no oov_buckets"),
    ],
)
def test_what_session_mode_refuses(change, message):
    with pytest.raises(UsageError) as refused:
        build_spec(LISTENING | change, source="listening.yaml")
    assert message in str(refused.value)


def test_users_are_no_items():
    spec = load_spec("wikispeedia-sessions").model_dump(mode="json")
    sources = spec["sources"]
    without_times = sources["interactions"] | {"timestamp": None, "timestamp_unit": "s"}
    for change, message in (
        ({"queries": "items"}, "sources.queries: expected a table or null"),
        ({"interactions": without_times}, "sources.interactions.timestamp: expected"),
    ):
        with pytest.raises(UsageError, match=message):
            build_spec(spec | {"sources": sources | change}, source="sessions.yaml")
