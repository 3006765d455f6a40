"""In which keys two specs differ, as the refusal of a finished output says it."""

import pytest

from features.spec.difference import later_difference, spec_difference
from features.spec.file import load_spec
from stage.manifest import Manifest


def difference(*overrides, verb="train", made=None):
    tree = load_spec("synthetic").model_dump(mode="json") if made is None else made
    spec = load_spec("synthetic", overrides)
    return spec_difference(Manifest(stage="dataset", run_id="r", spec=tree), spec, verb=verb)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["train.epochs=4"], "train.epochs is 5 there, 4 here"),
        (["train.epochs=4", "split.seed=9"], "split.seed is 0 there, 9 here; train.epochs is 5 there, 4 here"),
        (["model.hidden=[8]"], "model.hidden is [256, 128] there, [8] here"),
        (["item.features.price.log1p=false"], "item.features.price.log1p is True there, False here"),
        (
            ["train.epochs=4", "train.batch_size=8", "ssl.alpha=0", "model.hidden=[8]", "split.seed=9"],
            "split.seed is 0 there, 9 here; model.hidden is [256, 128] there, [8] here; "
            "ssl.alpha is 0.3 there, 0.0 here; and 2 more",
        ),
        # Keys that the result doesn't depend on aren't named beside one that it does.
        (
            ["evaluate.batch_size=7", "train.checkpoint_every=3", "statistics.max_new_values=0.4", "ssl.alpha=0"],
            "ssl.alpha is 0.3 there, 0.0 here",
        ),
    ],
)
def test_the_first_keys_that_differ_are_named_with_both_values(overrides, said):
    assert difference(*overrides) == said


def test_a_key_that_one_of_them_lacks_is_named_without_all_that_is_below_it():
    tree = load_spec("synthetic", ["item.features.colour={kind: categorical}"]).model_dump(mode="json")
    del tree["item"]["features"]["tags"]
    assert difference(made=tree) == "item.features.tags is only here; item.features.colour is only there"


def test_keys_of_stages_after_it_are_of_no_concern():
    assert difference("split.seed=9", "train.epochs=4", verb="build-dataset") == "split.seed is 0 there, 9 here"


@pytest.mark.parametrize("made", [None, {}, {"name": "x", "no_such_section": {}}])
def test_where_no_key_differs_or_the_spec_is_none_of_this_version(made):
    assert difference(made=made) == "its keys are another version's"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["gate.margin=0.08", "train.epochs=4", "export.top_k=7"],
            "train.epochs is 5 there, 4 here; export.top_k is 50 there, 7 here; gate.margin is 0.02 there, 0.08 here",
        ),
        # No digest has it, but metrics and verdicts depend on it.
        (["evaluate.max_queries=9"], "evaluate.max_queries is None there, 9 here"),
        # The build's own.
        (["split.seed=9", "statistics.max_new_values=0.4", "sources.max_reject_ratio=0.5"], ""),
        ([], ""),
    ],
)
def test_what_later_stages_take_from_the_dataset_is_named(overrides, said):
    made = Manifest(stage="dataset", run_id="r", spec=load_spec("synthetic").model_dump(mode="json"))
    assert later_difference(made, load_spec("synthetic", overrides)) == said
    assert later_difference(made.model_copy(update={"spec": {"no_such_section": {}}}), load_spec("synthetic")) == ""
