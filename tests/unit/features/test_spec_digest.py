"""What the digest of a spec depends on, of each verb whose output bears one."""

import pytest

from features.spec.digest import spec_digest
from features.spec.file import build_spec, load_spec
from features.spec.statistics import Statistics

TREE = load_spec("wikispeedia-links").model_dump(mode="json")


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("split.seed=1", {"build-dataset", "train", "export"}),
        ("query.features.page.oov_buckets=1", {"build-dataset", "train", "export"}),
        ("mutual_information.seed=1", {"build-dataset", "train", "export"}),
        ("ssl.alpha=0", {"train", "export"}),
        ("train.seed=1", {"train", "export"}),
        ("model.normalize=false", {"train", "export"}),
        ("evaluate.exclude_known=false", {"train", "export"}),  # a model is its best validation's weights
        ("evaluate.exclude_self=false", {"train", "export"}),
        ("sources.max_reject_ratio=0.5", set()),
        ("sources.item_join=shuffle", set()),
        *((f"statistics.{threshold}=0.9", set()) for threshold in Statistics.model_fields),
        ("train.checkpoint_every=7", set()),
        ("evaluate.batch_size=7", set()),
        ("evaluate.max_queries=7", set()),
        ("evaluate.baselines=false", set()),
        ("export.top_k=7", {"export"}),
        ("name=other", set()),
    ],
)
def test_a_digest_changes_with_the_sections_that_a_stage_depends_on(override, changed):
    overrides = [override, override.replace("query", "item")] if "query" in override else [override]
    before, after = build_spec(TREE, source="s"), build_spec(TREE, overrides, source="s")
    verbs = ("build-dataset", "train", "export")
    assert {verb for verb in verbs if spec_digest(before, verb) != spec_digest(after, verb)} == changed


def test_a_digest_depends_on_values_not_on_how_they_are_written():
    one = build_spec(TREE, ["ssl.alpha=0.30"], source="s")
    assert spec_digest(one, "train") == spec_digest(load_spec("wikispeedia-links"), "train")
    assert len(spec_digest(one, "train")) == 64


@pytest.mark.parametrize("table", ["items", "queries"])
def test_how_old_a_table_may_be_is_in_no_digest(table):
    overrides = ([f"sources.{table}={{path: 'p/{{date}}', max_age_days: {days}}}"] for days in (0, 6))
    one, other = (spec_digest(build_spec(TREE, keys, source="s"), "build-dataset") for keys in overrides)
    assert one == other


def test_which_days_may_lack_a_file_is_in_no_digest():
    overrides = (
        ["sources.interactions.path='{date}'", f"sources.interactions.days_off={d}"] for d in ("[]", "[sunday]")
    )
    one, other = (spec_digest(build_spec(TREE, keys, source="s"), "build-dataset") for keys in overrides)
    assert one == other


def test_a_key_that_came_later_is_part_of_a_digest_where_it_is_used_alone():
    assert "null_values" not in TREE["sources"]["items"]
    before = build_spec(TREE, ["sources.items.path=x.csv"], source="s")
    for values, same in (("[]", True), ('["NULL"]', False)):
        after = build_spec(TREE, ["sources.items.path=x.csv", f"sources.items.null_values={values}"], source="s")
        assert (spec_digest(before, "build-dataset") == spec_digest(after, "build-dataset")) == same
