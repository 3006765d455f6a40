"""Switches that need item features of a kind, and what they say where there is none."""

import pytest

from features.dataset import EncodedFeature
from features.spec.file import build_spec, load_spec
from features.spec.spec import Spec
from model.training.item_switches import check_item_features
from stage.errors import UsageError

PAGE = EncodedFeature("item/page", "page", "id", "page", 100)
TOPIC = EncodedFeature("item/topic", "topic", "categorical", "topic", 5)
WORDS = EncodedFeature("item/words", "words", "text", "words", 50)
TAGS = EncodedFeature("item/tags", "tags", "multivalued", "tags", 20)


def spec(*overrides: str) -> Spec:
    return build_spec(load_spec("debian").model_dump(mode="json"), overrides, source="test")


DROPOUT, ID_DROPOUT = spec("ssl.augmentation=dropout"), spec("train.item_id_dropout=0.1")
RFM, RFM_WITHOUT_ID = spec("ssl.augmentation=rfm"), spec("ssl.augmentation=rfm", "ssl.mask_id=false")


@pytest.mark.parametrize(
    ("features", "given", "message"),
    [
        ([PAGE, TOPIC], DROPOUT, "ssl.augmentation: expected an item feature of kind multivalued or text for dropout"),
        ([TOPIC, WORDS], ID_DROPOUT, "train.item_id_dropout: expected an item feature of kind id to drop, found none"),
        ([PAGE], RFM, "ssl.augmentation: expected at least two item features for rfm to mask, found page"),
        ([PAGE, TOPIC], RFM_WITHOUT_ID, "ssl.augmentation: expected at least two item features for rfm to mask beside"),
        ([PAGE], RFM_WITHOUT_ID, "keeps visible, found none"),
    ],
)
def test_a_switch_that_has_nothing_to_work_on_is_refused(
    features: list[EncodedFeature], given: Spec, message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        check_item_features(features, given)
    assert message in str(refused.value)
    without_loss = given.model_copy(update={"ssl": given.ssl.model_copy(update={"alpha": 0.0})})
    if given is not ID_DROPOUT:
        check_item_features(features, without_loss)


def test_one_that_has_is_not() -> None:
    check_item_features([TOPIC, WORDS], DROPOUT)
    check_item_features([TOPIC, TAGS], DROPOUT)
    check_item_features([PAGE, TOPIC], ID_DROPOUT)
    check_item_features([PAGE, TOPIC], RFM)
    check_item_features([PAGE, TOPIC, WORDS], RFM_WITHOUT_ID)
