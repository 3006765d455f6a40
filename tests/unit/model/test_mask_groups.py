"""Where mask groups come from, and which are refused."""

import pytest

from features.spec.training import Ssl
from model.training.mask_groups import groups_to_train_with, read_mask_groups
from stage.errors import StageError, UsageError


def test_by_mutual_information(tiny_dataset):
    # 4 features, so the seed and 2 others. MI of page: size 3.0, words 2.0, topic 1.7.
    groups = read_mask_groups(tiny_dataset, Ssl())
    assert groups == {
        "page": ["page", "size", "words"],
        "topic": ["topic", "page", "words"],
        "words": ["words", "page", "topic"],
        "size": ["size", "page", "words"],
    }


def test_among_the_others_where_the_id_stays(tiny_dataset):
    # 3 features left, so the seed and 1 other. topic-words 0.9, topic-size 0.5, words-size 0.7.
    groups = read_mask_groups(tiny_dataset, Ssl(mask_id=False))
    assert groups == {"topic": ["topic", "words"], "words": ["words", "topic"], "size": ["size", "words"]}


def test_by_hand_the_seed_is_in_its_group(tiny_dataset):
    assert read_mask_groups(tiny_dataset, Ssl(mask_groups={"topic": ["words"]})) == {"topic": ["topic", "words"]}


def test_refuses_groups_that_leave_nothing_or_touch_a_kept_id(tiny_dataset):
    with pytest.raises(UsageError, match="mask group of page covers every item feature"):
        read_mask_groups(tiny_dataset, Ssl(mask_groups={"page": ["topic", "words", "size"]}))
    with pytest.raises(UsageError, match=r"masks the id \(page\)"):
        read_mask_groups(tiny_dataset, Ssl(mask_id=False, mask_groups={"topic": ["page"]}))


def test_refuses_a_broken_file(make_dataset, tmp_path):
    dataset = make_dataset()
    (tmp_path / "dataset" / "mutual_information.json").write_text('{"features": ["page"]}')
    with pytest.raises(StageError, match=r"mutual_information\.json: not as build-dataset writes it"):
        read_mask_groups(dataset, Ssl())


def test_refuses_a_file_that_lacks_a_feature(make_dataset, tmp_path):
    """As one that tells nothing of the others it would be masked with those that are first by name."""
    dataset, path = make_dataset(), tmp_path / "dataset" / "mutual_information.json"
    path.write_text(path.read_text().replace('"size"', '"weight"'))
    expected = r"mutual_information\.json: expected every item feature, found none named size$"
    with pytest.raises(StageError, match=expected):
        read_mask_groups(dataset, Ssl())


def test_refuses_an_id_alone_that_stays(make_dataset):
    dataset = make_dataset(spec={"item": {"features": {"page": {"kind": "id", "vocabulary": "page"}}}})
    with pytest.raises(UsageError, match="expected at least one item feature to mask, found none"):
        read_mask_groups(dataset, Ssl(mask_id=False))


def test_random_masks_of_two_features_are_drawn_without_groups(tiny_dataset):
    assert groups_to_train_with(tiny_dataset, Ssl(augmentation="rfm")) is None
    assert groups_to_train_with(tiny_dataset, Ssl()) == read_mask_groups(tiny_dataset, Ssl())


def test_by_hand_all_but_the_id_that_stays_may_be_in_a_group(tiny_dataset):
    ssl = Ssl(mask_id=False, mask_groups={"topic": ["words", "size"]})
    assert read_mask_groups(tiny_dataset, ssl) == {"topic": ["topic", "words", "size"]}
