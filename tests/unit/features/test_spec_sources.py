"""What the section sources takes, and refuses."""

import pytest

from features.spec.file import build_spec, load_spec
from stage.errors import UsageError

TREE = load_spec("wikispeedia-links").model_dump(mode="json")
BOTH_IDS = {"key_env": "K", "columns": ["query_id", "item_id"]}


@pytest.mark.parametrize(
    "log",
    [
        "{path: x.csv, timestamp: at, timestamp_unit: iso, timezone: Asia/Tokyo}",
        "{path: x.parquet, timestamp: at, timezone: Asia/Tokyo}",  # whose times may name no zone
        "{path: x, timestamp: at, timezone: Asia/Tokyo}",
        "{path: x.jsonl, format: parquet, timestamp: at, timezone: Asia/Tokyo}",
        '{path: "bq://p.d.csv", timestamp: at, timezone: Asia/Tokyo}',
        "{path: x.jsonl, event: null, timestamp: at}",
    ],
)
def test_a_log_may_have_the_keys_that_it_reads(log):
    assert build_spec(TREE, [f"sources.interactions={log}"], source="s").sources.interactions.timestamp == "at"


def test_pseudonyms_keep_no_content_of_rejects_and_come_back_so():
    spec = build_spec(TREE | {"sources": without_rejects() | {"pseudonymise": BOTH_IDS}}, source="s")
    assert spec.sources.rejects == "place_only"
    assert build_spec(spec.model_dump(mode="json"), source="m") == spec
    both = ["sources.pseudonymise={key_env: K, columns: [query_id, item_id]}", "sources.rejects=content"]
    with pytest.raises(UsageError, match="rejects: expected place_only where ids are pseudonymised, got content"):
        build_spec(TREE, both, source="s")


def without_rejects():
    return {key: value for key, value in TREE["sources"].items() if key != "rejects"}


def test_pages_are_pseudonymised_on_both_sides_or_on_none():
    with pytest.raises(UsageError, match="expected both query_id and item_id where queries are items, got query_id"):
        build_spec(TREE | {"sources": without_rejects()}, ["sources.pseudonymise={key_env: K}"], source="s.yaml")


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("sources.items.title=item_id", "sources.items.title"),
        ("item.features.name={kind: text, column: item_id}", "item.features.name"),
        ("query.features.item_id={kind: categorical}", "query.features.item_id"),
    ],
)
def test_an_id_that_is_pseudonymised_is_read_as_nothing_else(override, key):
    build_spec(TREE, [override], source="s")
    with pytest.raises(UsageError) as caught:
        build_spec(TREE | {"sources": without_rejects() | {"pseudonymise": BOTH_IDS}}, [override], source="s")
    assert str(caught.value) == (
        f"--set {key}: expected another column than item_id, whose ids are pseudonymised "
        "(sources.pseudonymise.columns: item_id), since it would keep them as they are"
    )


def test_a_query_table_keeps_no_id_that_is_pseudonymised():
    queries = {"path": "users.jsonl", "id": "user", "title": "user"}
    hidden = {"queries": queries, "pseudonymise": {"key_env": "K", "columns": ["query_id"]}}
    with pytest.raises(UsageError, match=r"sources\.queries\.title: expected another column than user, whose ids are"):
        build_spec(TREE | {"sources": without_rejects() | hidden}, source="s")


def test_items_are_joined_in_a_way_that_is_known():
    with pytest.raises(UsageError, match="expected one of auto, side_input, shuffle, got 'hash'"):
        build_spec(TREE, ["sources.item_join=hash"], source="s")
