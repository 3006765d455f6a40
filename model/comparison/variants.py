"""The variants: the paper's method, its baselines and its ablations, and what each leaves to choose."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias, get_args

from stage.errors import UsageError, did_you_mean

Protocol: TypeAlias = Literal["paper", "tuned"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
Settings: TypeAlias = dict[str, float | int | str | bool | None]
"""Key of the spec -> its value."""

ALPHA, DROPOUT_RATE, SSL_TEMPERATURE = "ssl.alpha", "ssl.dropout_rate", "ssl.temperature"
ID_DROPOUT = "train.item_id_dropout"
PLAIN, CFM = "plain", "cfm"
Baseline: TypeAlias = Literal["popularity", "co-occurrence"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
"""Beside the variants in every table; they have no seed and nothing to choose."""
CORRECTED = {"0.0": " + cold correction", "0.02": " + cold correction at 2%"}
"""By price on validation, behind a row's name: the same models, with a constant added to the scores of cold items. The
prices are nothing, and about what the self-supervised task was seen to cost."""


@dataclass(frozen=True)
class Variant:
    """A model of the comparison."""

    name: str
    fixed: Settings
    """What makes it this variant."""
    chosen: tuple[str, ...] = ()
    """Keys that make a difference to it, beside those of every variant; for a peer all of its keys."""
    as_chosen_for: str | None = None
    """Another variant whose choice it takes over, with `fixed` on top; nothing is searched for it then."""
    counterpart: str | None = None
    """The same without self-supervision, where that isn't plain: its gains over this one are shown too."""
    peer: str | None = None
    """Somebody else's model, with keys of its own to choose, which a peer's program trains."""
    protocols: tuple[Protocol, ...] = PROTOCOLS
    """In which it has a row."""
    by_default: bool = True
    """Whether it is compared without being asked for."""


_OF_SSL = (ALPHA, DROPOUT_RATE, SSL_TEMPERATURE)
_CFM: Settings = {"ssl.augmentation": "cfm"}
_RFM: Settings = {"ssl.augmentation": "rfm"}
_OF_THE_PAPER = (
    Variant(PLAIN, {ALPHA: 0}),
    # Its weight is a switch: there is no second loss.
    Variant("fd", {"ssl.augmentation": "feature_dropout", ALPHA: 1}, (DROPOUT_RATE,)),
    Variant("so", {"ssl.augmentation": "spread_out"}, (ALPHA, SSL_TEMPERATURE)),
    Variant("rfm", _RFM, _OF_SSL),
    Variant("rfm-no-complement", {**_RFM, "ssl.complement": False}, _OF_SSL),
    Variant(CFM, _CFM, _OF_SSL),
    Variant("cfm-no-dropout", {**_CFM, DROPOUT_RATE: 0}, (ALPHA, SSL_TEMPERATURE)),
    Variant("no-masking", {"ssl.augmentation": "dropout"}, _OF_SSL),
    Variant("plain-no-logq", {ALPHA: 0, "train.logq": 0}, as_chosen_for="plain", protocols=("paper",)),
    Variant(
        "cfm-no-logq",
        {**_CFM, "train.logq": 0},
        as_chosen_for="cfm",
        counterpart="plain-no-logq",
        protocols=("paper",),
    ),
)
_tuned = partial(Variant, protocols=("tuned",))
_beyond = partial(_tuned, by_default=False)
_MIXED: Settings = {"train.uniform_negatives": 1024}
"""As many as a batch of the shipped specs has examples, and as their SSL task draws."""
_BEYOND_THE_PAPER = (
    _beyond("plain-id-dropout", {ALPHA: 0}, (ID_DROPOUT,)),
    _beyond("cfm-id-dropout", _CFM, (*_OF_SSL, ID_DROPOUT), counterpart="plain-id-dropout"),
    _beyond("plain-mixed", {ALPHA: 0, **_MIXED}),
    _beyond("plain-mixed-id-dropout", {ALPHA: 0, **_MIXED}, (ID_DROPOUT,)),
    _beyond("cfm-mixed", {**_CFM, **_MIXED}, _OF_SSL, counterpart="plain-mixed"),
    _beyond("cfm-head", {**_CFM, "ssl.projection_head": 128}, _OF_SSL),
    _beyond("cfm-warmup", {**_CFM, "ssl.warmup_epochs": 2}, _OF_SSL),
    _beyond("cfm-decay", {**_CFM, "ssl.decay_epochs": 4}, _OF_SSL),
    _beyond("cfm-per-item", {**_CFM, "ssl.seed_per": "item"}, _OF_SSL),
    _beyond("cfm-id-visible", {**_CFM, "ssl.mask_id": False}, _OF_SSL),
    _beyond("cfm-no-twins", {**_CFM, "ssl.exclude_identical": True}, _OF_SSL),
    _beyond("cfm-large-batch", {**_CFM, "ssl.batch_size": 4096}, _OF_SSL),
    _beyond("rfm-per-item", {**_RFM, "ssl.seed_per": "item"}, _OF_SSL),
)
_OF_TWO_TOWER = ("two_tower.lr", "two_tower.temperature", "two_tower.dropout_rate")
_PEERS = (
    _tuned("implicit-als", {}, ("als.factors", "als.regularization", "als.alpha", "als.iterations"), peer="als"),
    _tuned(
        "implicit-bpr", {}, ("bpr.factors", "bpr.learning_rate", "bpr.regularization", "bpr.iterations"), peer="bpr"
    ),
    _tuned("librecommender-plain", {}, _OF_TWO_TOWER, peer="two_tower"),
    _tuned(
        "librecommender-cfm",
        {"two_tower.ssl_pattern": "cfm"},
        (*_OF_TWO_TOWER, "two_tower.alpha"),
        peer="two_tower",
    ),
)
VARIANTS = {variant.name: variant for variant in (*_OF_THE_PAPER, *_BEYOND_THE_PAPER, *_PEERS)}
PEER_NAMES = [variant.name for variant in _PEERS]


def parse_variants(text: str) -> list[Variant]:
    """Variants by name, in the order of the tables; plain is always among them, since gains are over it.

    Args:
        text: Names with commas between.

    Raises:
        UsageError: If there is no such variant, or one whose choice another takes over is missing.
    """
    names = {PLAIN, *parse_names(text, option="--variants", known=VARIANTS)}
    found = [variant for variant in VARIANTS.values() if variant.name in names]
    for variant in found:
        if variant.as_chosen_for is not None and variant.as_chosen_for not in names:
            raise UsageError(
                f"--variants: {variant.name} takes over what is chosen for {variant.as_chosen_for}; add it"
            )
    return found


def row_names() -> list[str]:
    """Of every row that a table may have, baselines aside."""
    return [name + corrected for name in VARIANTS for corrected in ("", *CORRECTED.values())]


def parse_names(text: str, *, option: str, known: Collection[str], what: str = "variant") -> list[str]:
    """Names of variants, rows or protocols, as they are written with commas between.

    Raises:
        UsageError: If there is none, or one that isn't known, naming the option.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError(f"{option}: expected names of {what}s with commas between, got '{text}'")
    for name in names:
        if name not in known:
            raise UsageError(f"{option}: no {what} '{name}'{did_you_mean(name, known)}")
    return names


def names_on_request() -> list[str]:
    """The variants beyond the paper."""
    return [v.name for v in VARIANTS.values() if not v.by_default]


def default_names(*, peers: Collection[str] = ()) -> list[str]:
    """The variants of the paper, in the order of the tables; of other people's models the given ones."""
    return [v.name for v in VARIANTS.values() if v.by_default and (v.peer is None or v.peer in peers)]
