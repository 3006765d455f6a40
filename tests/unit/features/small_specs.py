"""The smallest spec, but for what a test gives: features by their kind or keys, more keys of the log, sections."""

from collections.abc import Mapping
from typing import Any

from features.spec.file import build_spec
from features.spec.spec import Spec

Keys = Mapping[str, Any]


def small_tree(
    *,
    query: Keys | None = None,
    item: Keys | None = None,
    log: Keys | None = None,
    sources: Keys | None = None,
    **more: Any,
) -> dict[str, Any]:
    if query is None:
        query = {} if "session" in more else {"user": "id"}
    interactions = {"path": "x", **(log or {})}
    return {
        "name": "small",
        "sources": {"interactions": interactions, "items": {"path": "x"}, **(sources or {})},
        "query": _side(query),
        "item": _side(item or {"app": "id"}),
        **more,
    }


def small_spec(**keys: Any) -> Spec:
    return build_spec(small_tree(**keys), source="test")


def _side(features: Keys) -> dict[str, Any]:
    return {"features": {name: {"kind": keys} if isinstance(keys, str) else keys for name, keys in features.items()}}
