"""Switches that need item features of a kind."""

from collections.abc import Sequence

from features.dataset import EncodedFeature
from features.spec.spec import Spec
from features.spec.training import Ssl
from stage.errors import UsageError

SEVERAL_VALUES = ("multivalued", "text")
"""Kinds of features of which a part of the values can be dropped."""


def check_item_features(features: Sequence[EncodedFeature], spec: Spec) -> None:
    """Refuses a switch that needs a feature which there isn't.

    Args:
        features: The item features.
        spec: The sections ssl and train.

    Raises:
        UsageError: If nothing could be dropped or masked by it.
    """
    ssl = spec.ssl
    if spec.train.item_id_dropout and not any(f.kind == "id" for f in features):
        raise UsageError("train.item_id_dropout: expected an item feature of kind id to drop, found none; set it to 0")
    if not ssl.has_loss:
        return
    if ssl.augmentation == "dropout" and not any(f.kind in SEVERAL_VALUES for f in features):
        raise UsageError(
            "ssl.augmentation: expected an item feature of kind multivalued or text for dropout to drop values of, "
            "found none; spread_out compares items as they are"
        )
    found = maskable_names(features, ssl)
    if ssl.augmentation == "rfm" and len(found) < 2:
        kept = "" if ssl.mask_id else " beside the id, which ssl.mask_id=false keeps visible"
        raise UsageError(
            f"ssl.augmentation: expected at least two item features for rfm to mask{kept}, "
            f"found {found[0] if found else 'none'}"
        )


def maskable_names(features: Sequence[EncodedFeature], ssl: Ssl) -> list[str]:
    """Names of the item features that a view may mask: all, or all but the id."""
    return [f.name for f in features if ssl.mask_id or f.kind != "id"]


def masks_main_items(spec: Spec) -> bool:
    """Whether the spec asks for masks in the main task too, so that examples of one item see it differently."""
    return spec.ssl.drops_features or spec.train.item_id_dropout > 0
