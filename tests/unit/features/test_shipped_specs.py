"""The shipped specs say what their tasks need."""

from pathlib import Path

import pytest

from features.spec.file import load_spec, shipped_names
from model.comparison.studies import Study

RESULTS = Path(__file__).parents[3] / "results"
PAGES = {"wikispeedia-links", "wikispeedia-links-text", "wikispeedia-clicks", "wikispeedia-daily", "debian"}
USERS = {"movielens", "synthetic", "wikispeedia-sessions", "wikispeedia-users"}


def test_nine_specs_ship():
    assert set(shipped_names()) == PAGES | USERS


@pytest.mark.parametrize("name", sorted(PAGES | USERS))
def test_every_shipped_spec_is_valid_and_named_as_its_file(name):
    spec = load_spec(name)
    assert spec.name == name
    assert spec.ssl.augmentation == "cfm"
    assert len(spec.item.features) >= 3


@pytest.mark.parametrize("name", sorted(PAGES))
def test_where_queries_are_items_the_two_sides_share_every_vocabulary(name):
    spec = load_spec(name)
    assert spec.sources.queries == "items"
    assert spec.query == spec.item
    assert all(f.kind == "numeric" or f.vocabulary for f in spec.item.features.values())
    assert spec.sources.max_reject_ratio == 0


def test_links_have_the_papers_three_features():
    spec = load_spec("wikispeedia-links")
    assert [f.kind for f in spec.item.features.values()] == ["id", "text", "multivalued"]
    assert spec.sources.interactions.positive_events == ["link"]
    assert (spec.split.method, spec.split.validation, spec.split.test) == ("pair_hash", 0.03, 0.10)
    assert (spec.train.temperature, spec.ssl.alpha, spec.train.epochs) == (0.1, 0.3, 12)


@pytest.mark.parametrize("name", ["debian", "movielens", "wikispeedia-links"])
def test_what_plain_chose_with_all_pairs_is_what_the_spec_ships(name):
    """But for alpha, which plain has none of."""
    chosen = Study(str(RESULTS / name / "studies/fraction-1/tuned/plain.json")).chosen
    train = load_spec(name).train
    assert chosen == {
        "train.temperature": train.temperature,
        "train.learning_rate": train.learning_rate,
        "train.weight_decay": train.weight_decay,
        "train.logq": train.logq,
        "ssl.alpha": 0,
    }


def test_clicks_are_split_by_time():
    spec = load_spec("wikispeedia-clicks")
    assert spec.sources.interactions.positive_events == ["click"]
    assert (spec.split.method, spec.sources.interactions.timestamp_unit) == ("time", "us")


def test_sessions_have_nothing_but_their_history():
    spec = load_spec("wikispeedia-sessions")
    assert spec.query.features == {}
    assert (spec.sources.interactions.query_id, spec.history_feature[0]) == ("user_id", "page")
    assert (spec.session.max_history, spec.session.gap, spec.split.method) == (3, 600, "time")


def test_users_have_nothing_but_their_id():
    spec = load_spec("wikispeedia-users")
    assert [(name, f.kind) for name, f in spec.query.features.items()] == [("user", "id")]
    assert (spec.sources.interactions.query_id, spec.sources.queries) == ("user_id", None)
    assert (spec.split.method, spec.item) == ("pair_hash", load_spec("wikispeedia-sessions").item)


def test_users_of_movielens_have_features_and_like_what_they_give_four_stars():
    spec = load_spec("movielens")
    assert [f.kind for f in spec.query.features.values()] == ["id", "numeric", *["categorical"] * 3]
    log = spec.sources.interactions
    assert (log.event, log.positive_events, log.timestamp_unit) == ("rating", ["4", "5"], "s")


def test_daily_is_clicks_in_partitions_by_date():
    clicks, daily = load_spec("wikispeedia-clicks"), load_spec("wikispeedia-daily")
    assert "{date}" in daily.sources.interactions.path
    assert (daily.split.method, daily.split.validation_start, daily.split.test_start) == ("time", None, None)
    assert (daily.query, daily.item, daily.model, daily.train) == (
        clicks.query,
        clicks.item,
        clicks.model,
        clicks.train,
    )
