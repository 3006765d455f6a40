"""What overrides may change, and how they are refused."""

from pathlib import Path

import pytest
from refused_specs import TREE, refused

from features import specs
from features.spec.file import build_spec, load_spec, spec_of
from features.spec.overrides import set_options
from stage.errors import UsageError
from stage.manifest import Manifest


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sssl.alpha=1", "--set sssl.alpha: no such section; did you mean 'ssl'?"),
        ("=1", "--set : no such section; known: evaluate, export, gate, item,"),
        ("epochs=3", "--set epochs: no such section; did you mean 'train.epochs'?"),
        (
            "seed=3",
            "--set seed: no such section; did you mean 'split.seed' or 'mutual_information.seed' or 'train.seed'?",
        ),
        ("ssl.alpha.x=1", "--set ssl.alpha.x: ssl.alpha is a value, not a section"),
        *(
            (
                f"{key}.0={text}",
                f"--set {key}.0: {key} is a list, which is given whole, as in --set '{key}=[{text}]'",
            )
            for key, text in {
                "sources.interactions.positive_events": "link",
                "model.hidden": "64",
            }.items()
        ),
        ("ssl.alpha={", "--set ssl.alpha: expected a YAML value, got '{'"),
        ("ssl.alpha=!!int x", "--set ssl.alpha: expected a YAML value, got '!!int x'"),
        ("ssl.alpha=&x [*x]", "--set ssl.alpha: expected a YAML value, got '&x [*x]'"),
    ],
)
def test_an_override_that_is_none_is_refused(override, message):
    assert refused(override).startswith(message)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "sources.interactions.positive_events.0=a b",
            "sources.interactions.positive_events is a list, which is given whole, as in --set "
            "'sources.interactions.positive_events=[a b]'",
        ),
        ("sources.interactions.timestamp_unit.x=s", "sources.interactions.timestamp_unit is a value, not a section"),
    ],
)
def test_an_override_below_a_value_that_the_file_lacks_is_refused_as_one(override, message):
    few = {key: TREE["sources"]["interactions"][key] for key in ("path", "query_id", "item_id", "event")}
    with pytest.raises(UsageError) as caught:
        build_spec(TREE | {"sources": TREE["sources"] | {"interactions": few}}, [override], source="s.yaml")
    assert str(caught.value) == f"--set {override.partition('=')[0]}: {message}"


@pytest.mark.parametrize(
    ("verb", "override", "message"),
    [
        ("build-dataset", "ssl.alpha=1", "build-dataset doesn't read the section ssl; give it to train"),
        ("train", "split.seed=1", "train doesn't read the section split; give it to build-dataset"),
        ("publish", "evaluate.batch_size=1", "publish doesn't read the section evaluate; give it to train"),
        ("run", "export.top_k=1", "run doesn't read the section export; give it to export"),
        ("compare", "gate.keep=2", "compare doesn't read the section gate; give it to gate"),
        ("train", "seed=1", "no such section; did you mean 'train.seed'?"),
        ("train", "splt.seed=1", "no such section; known: evaluate, model, ssl, train"),
        ("evaluate", "name=x", "evaluate doesn't read the section name; it can't be overridden"),
    ],
)
def test_a_verb_takes_overrides_of_its_own_sections_alone(verb, override, message):
    assert refused(override, verb=verb) == f"--set {override.split('=')[0]}: {message}"


@pytest.mark.parametrize("verb", ["train", "evaluate", "gate", "export", "run", "compare"])
def test_whatever_embeds_or_ranks_takes_how(verb):
    assert build_spec(TREE, ["evaluate.batch_size=7"], verb=verb, source="s").evaluate.batch_size == 7


def test_overrides_set_what_they_name_and_the_last_wins():
    spec = build_spec(
        TREE,
        [
            "ssl.alpha=1",
            "ssl.alpha=3e-1",
            "train.learning_rate=1e-2",
            "ssl.mask_groups={page: [title]}",
            "train.patience=null",
            "split.method=time",
            "sources.interactions.timestamp=at",
            "split.test_start=2009-07-28T00:00:00Z",
            "split.validation_start=2009-07-27",
            "evaluate.exclude_self=false",
            "item.features.size={kind: numeric}",
            "name=inf",
        ],
        source="s",
    )
    assert (spec.ssl.alpha, spec.train.learning_rate, spec.train.patience) == (0.3, 0.01, None)
    assert spec.ssl.mask_groups == {"page": ["title"]}
    assert (spec.split.validation_start, spec.split.test_start) == ("2009-07-27", "2009-07-28T00:00:00Z")
    assert (spec.evaluate.exclude_self, spec.item.features["size"].kind, spec.name) == (False, "numeric", "inf")
    assert TREE["ssl"]["alpha"] == 0.3
    assert "size" not in TREE["item"]["features"]


def test_below_a_key_recorded_as_null_an_override_sets_what_it_sets_in_a_file_without_the_key():
    made = Manifest(stage="dataset", run_id="r", spec=build_spec(TREE, source="s").model_dump(mode="json"))
    assert made.spec["ssl"]["mask_groups"] is made.spec["ssl"]["temperature"] is None
    override = "ssl.mask_groups.page=[title]"
    assert spec_of(made, "d", overrides=[override], verb="train").ssl.mask_groups == {"page": ["title"]}
    assert build_spec(TREE, [override], source="s").ssl.mask_groups == {"page": ["title"]}
    with pytest.raises(UsageError, match=r"^--set ssl\.temperature\.x: ssl\.temperature is a value, not a section$"):
        spec_of(made, "d", overrides=["ssl.temperature.x=1"], verb="train")


def test_an_override_changes_one_of_the_two_sides_that_a_file_gives_the_same_features():
    spec = load_spec("debian", ["item.features.installed_size.log1p=false", "query.features.debtags.max_values=3"])
    assert (spec.query.features["installed_size"].log1p, spec.item.features["installed_size"].log1p) == (True, False)
    assert (spec.query.features["debtags"].max_values, spec.item.features["debtags"].max_values) == (3, 64)
    said = r"^debian with --set item\.features\.package\.min_count: item\.features\.package: .*: expected 0, got 1$"
    with pytest.raises(UsageError, match=said):
        load_spec("debian", ["item.features.package.min_count=1"])


def test_an_override_changes_one_of_the_places_that_share_what_is_merged(tmp_path):
    path, text = tmp_path / "mine.yaml", (Path(specs.__file__).parent / "debian.yaml").read_text()
    path.write_text(text.replace("features: *package", "features: {<<: *package, size: {kind: numeric}}"))
    side = "item={features: {a: &a {kind: text, ngrams: [1]}, b: *a, package: {kind: id, vocabulary: package}}}"
    spec = load_spec(str(path), ["item.features.installed_size.log1p=false"])
    assert (spec.query.features["installed_size"].log1p, spec.item.features["installed_size"].log1p) == (True, False)
    features = load_spec(str(path), [side, "item.features.a.ngrams=[2]"]).item.features
    assert (features["a"].ngrams, features["b"].ngrams) == ([2], [1])


def test_an_override_of_a_feature_that_is_not_there_is_refused_unless_it_says_its_kind() -> None:
    with pytest.raises(UsageError) as caught:
        load_spec("wikispeedia-links", ["item.features.pages.min_count=1"])
    assert str(caught.value) == (
        "--set item.features.pages.min_count: item.features has no feature pages; it has page, title, categories; of "
        "another one give the kind first"
    )
    added = ["item.features.more.kind=text", "item.features.more.ngrams=[2]"]
    assert load_spec("wikispeedia-links", added).item.features["more"].ngrams == [2]


def test_a_spec_s_sections_as_options_make_the_same_spec():
    told = ['sources.interactions.positive_events=["\U0001f44d"]', "sources.item_join=shuffle", "split.seed=7"]
    spec = load_spec("synthetic", told)
    flags = set_options(spec, "build-dataset")
    assert flags[::2] == ["--set"] * (len(flags) // 2)
    found = load_spec("synthetic", flags[1::2], verb="build-dataset")
    assert found.sources.interactions.positive_events == ["\U0001f44d"]
    assert (found, found.sources.item_join) == (spec, "shuffle")
